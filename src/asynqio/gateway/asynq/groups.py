"""The requests of a consumer that aggregates groups: it claims a batch, reads it, enqueues a task, deletes it."""

from __future__ import annotations

from asynqio.core.groups import GroupRule, GroupRules
from asynqio.errors import QueueNotFound
from asynqio.gateway.asynq import answers, requests
from asynqio.gateway.asynq.session import Session
from asynqio.gateway.errors import TaskNotHeld


async def list_groups(session: Session, request: requests.ListGroups) -> str:
    """The groups of a queue that hold unclaimed tasks. A queue that does not exist has none."""
    try:
        groups = await session.store.groups(request.data.queue)
    except QueueNotFound:
        return answers.groups_list([])
    return answers.groups_list([stats.group for stats in groups])


async def aggregation_check(session: Session, request: requests.AggregationCheck) -> str:
    """Claim a batch of a group, if the group is ripe by the rule of the consumer."""
    data = request.data
    rule = GroupRule(data.aggregation_delay_seconds, data.max_delay_seconds, data.max_size)
    claimed = await session.store.claim_groups([data.queue], GroupRules({data.group: rule}, exact=True), 1)
    if not claimed.batches:
        return answers.aggregation_set_id(None)
    [batch] = claimed.batches
    session.batches[batch.id] = batch
    return answers.aggregation_set_id(batch.id)


async def read_aggregation_set(session: Session, request: requests.ReadAggregationSet) -> str:
    """The members of a claimed batch. One that this client did not claim is empty."""
    batch = session.batches.get(request.data.set_id)
    return answers.aggregation_set(batch.messages if batch is not None else ())


async def delete_aggregation_set(session: Session, request: requests.DeleteAggregationSet) -> str:
    """Delete the members of a claimed batch: the consumer has enqueued what replaces them."""
    batch = session.batches.pop(request.data.set_id, None)
    if batch is None or not await session.store.delete_batch(batch):
        raise TaskNotHeld(request.data.queue, request.data.set_id, "batch")
    return answers.SUCCESS
