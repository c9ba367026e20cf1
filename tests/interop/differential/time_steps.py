"""Steps of time and of groups."""

from __future__ import annotations

from typing import Any

from asynqio.brokers.contract.results import Admission
from asynqio.core.groups import GroupRule
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Entry
from tests.interop.differential.pair import (
    Pair,
    Step,
    go_message,
    go_view,
    message_as_go,
)
from tests.interop.differential.steps import (
    DAY,
    GROUPS,
    QUEUES,
    step,
)

# --- time -----------------------------------------------------------------------------------------


@step(14)
async def wait(pair: Pair) -> Step:
    """Wait for whole seconds: Go truncates fractions; asynqio keeps them or rounds up (B21, B33)."""
    seconds = pair.random.choice([1.0, 1.0, 3.0, 10.0, 31.0, 70.0, 130.0])
    long = pair.random.random() < 0.08
    if long:
        seconds = 91 * DAY
    pair.observe(f"wait {seconds:.0f} s")
    pair.clock.advance(seconds)
    if not long:
        return Step("wait", {})
    # Redis would have expired these, but its clock has not advanced.
    for side in (pair.mine, pair.other):
        for counters in ("processed", "failed"):
            async for key in side.scan_iter(f"asynq:{{*}}:{counters}:*"):
                await side.delete(key)
    # Go trims archives by age when it archives a task, asynqio when it sweeps.
    return await sweep(pair)


@step(10)
async def forward(pair: Pair) -> Step:
    queues = pair.random.sample(QUEUES, pair.random.randint(1, len(QUEUES)))
    pair.observe(f"forward {queues}")
    due = {}
    for queue in queues:
        waiting: list[tuple[float, bytes]] = []
        for state in ("scheduled", "retry"):
            key = f"asynq:{{{queue}}}:{state}"
            found: Any = await pair.other.zrange(key, "-inf", int(pair.now), byscore=True, withscores=True)
            waiting += [(score, id) for id, score in found]
        due[queue] = [id for _, id in sorted(waiting, key=lambda item: item[0])]
        while (await pair.ours.forward([queue], 100)).moved:
            pass
    pair.same("forward", True, await pair.go("forward", queues=queues))
    return Step("forward", {"due": due})


@step(8)
async def sweep(pair: Pair) -> Step:
    """One sweep of asynqio corresponds to two jobs of Go."""
    pair.observe("sweep")
    while (await pair.ours.sweep(QUEUES, 100)).deleted:
        pass
    for queue in QUEUES:
        pair.same("sweep", True, await pair.go("delete_expired_completed", queue=queue, limit=100))
        pair.same("sweep", True, await pair.go("reclaim_sets", queue=queue))
    pair.batches = [(batch, set) for batch, set in pair.batches if batch.expires_at > pair.now]
    return Step("sweep", {})


# --- groups ---------------------------------------------------------------------------------------


@step(8)
async def claim(pair: Pair) -> Step:
    queue = pair.random.choice(QUEUES)
    rule = GroupRule(
        float(pair.random.choice([1, 10])), float(pair.random.choice([0, 30])), pair.random.choice([0, 2])
    )
    settings = {"at": pair.now, "grace": rule.grace, "max_delay": rule.max_delay, "max_size": rule.max_size}
    batches = list((await pair.ours.claim_groups([queue], rule, 100)).batches)
    batches.sort(key=lambda batch: batch.group)  # stable: keeps the order within a group
    pair.observe(f"claim {queue} {rule}: {[(batch.group, len(batch.messages)) for batch in batches]}")
    for batch in batches:
        set = await pair.go("check_group", queue=queue, group=batch.group, **settings)
        assert set, pair.report(f"Go does not take group {batch.group!r} for ripe")
        pair.renamed[set] = batch.id
        read = await pair.go("read_set", queue=queue, group=batch.group, set=set)
        pair.same(
            "batch",
            [message_as_go(go_view(message)) for message in batch.messages],
            [message_as_go(message) for message in read["messages"]],
        )
        pair.same("batch", batch.expires_at, read["deadline"])
        pair.batches.append((batch, set))
    for group in GROUPS:
        pair.same("claim", "", await pair.go("check_group", queue=queue, group=group, **settings))
    return Step("claim", {})


@step(6)
async def merge(pair: Pair) -> Step:
    """Replace a batch by one task."""
    if not pair.batches:
        return Step("nothing", {})
    batch, set = pair.batches.pop(pair.random.randrange(len(pair.batches)))
    message = TaskMessage(f"m{len(pair.known):03}", "ok", batch.queue, b"merged", timeout=60.0)
    pair.observe(f"merge {len(batch.messages)} of {batch.queue}/{batch.group} into {message.id}")
    mine = await pair.ours.merge_group(batch, Entry(message))
    assert mine is Admission.ACCEPTED, pair.report(f"merge: {mine}")
    pair.same("merge", True, await pair.go("enqueue", message=go_message(message)))
    pair.same("merge", True, await pair.go("delete_set", queue=batch.queue, group=batch.group, set=set))
    pair.known.append(message.ref)
    return Step("merge", {"members": list(batch.messages)})
