"""Carries out one message of a client: decodes it, calls the function of its type, encodes the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from asynqio.gateway.asynq import answers, attempts, consumers, groups, requests
from asynqio.gateway.asynq.enqueue import enqueue
from asynqio.gateway.asynq.error_texts import error_text
from asynqio.gateway.asynq.session import Session

Handler: TypeAlias = Callable[[Session, Any], Awaitable[str]]

_HANDLERS: dict[type, Handler] = {
    requests.Ping: consumers.ping,
    requests.Enqueue: enqueue,
    requests.EnqueueUnique: enqueue,
    requests.Schedule: enqueue,
    requests.ScheduleUnique: enqueue,
    requests.AddToGroup: enqueue,
    requests.AddToGroupUnique: enqueue,
    requests.Dequeue: attempts.dequeue,
    requests.Done: attempts.done,
    requests.MarkComplete: attempts.done,
    requests.Retry: attempts.retry,
    requests.Archive: attempts.archive,
    requests.WriteResult: attempts.write_result,
    requests.ExtendLease: attempts.extend_lease,
    requests.ListLeaseExpired: attempts.list_lease_expired,
    requests.SubscribeCancellation: consumers.subscribe_cancellation,
    requests.PublishCancellation: consumers.publish_cancellation,
    requests.WriteServerState: consumers.write_server_state,
    requests.ClearServerState: consumers.clear_server_state,
    requests.ListGroups: groups.list_groups,
    requests.AggregationCheck: groups.aggregation_check,
    requests.ReadAggregationSet: groups.read_aggregation_set,
    requests.DeleteAggregationSet: groups.delete_aggregation_set,
}


async def answer(session: Session, message: str | bytes) -> str:
    """Carry out one message and return the answer. Never raises what the request caused."""
    id = None
    try:
        request = requests.decode(message)
        id = request.id
        text = await _HANDLERS[type(request)](session, request)
    except Exception as error:
        text = answers.error(error_text(error))
    return text if id is None else answers.with_id(text, id)
