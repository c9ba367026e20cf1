"""Steps of clients and servers."""

from __future__ import annotations

from typing import Any

import msgspec

from asynqio.brokers.contract.results import Admission, Output
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import unique_key
from tests.interop.differential.pair import (
    ADMISSIONS,
    Held,
    Pair,
    Step,
    go_message,
    go_view,
    message_as_go,
)
from tests.interop.differential.steps import (
    FOREVER,
    GROUPS,
    LEASE,
    OWNER,
    PAYLOADS,
    QUEUES,
    TYPES,
    step,
)

# --- clients -------------------------------------------------------------------------------------------


@step(30)
async def enqueue(pair: Pair) -> Step:
    """Enqueue a pending, scheduled or grouped task, or one scheduled for a group; some unique or with a taken id."""
    random = pair.random
    queue, type, payload = random.choice(QUEUES), random.choice(TYPES), random.choice(PAYLOADS)
    again = pair.known and random.random() < 0.1
    id = random.choice(pair.known).id if again else f"t{len(pair.known):03}"
    unique = random.random() < 0.3
    group = random.choice(GROUPS) if random.random() < 0.4 else ""
    message = TaskMessage(
        id,
        type,
        queue,
        payload,
        max_retry=random.choice([0, 1, 25]),
        timeout=random.choice([0.0, 60.0]),
        deadline=random.choice([0.0, pair.now + 500.0]),
        retention=random.choice([0.0, 100.0]),
        unique_key=unique_key(queue, type, payload) if unique else "",
        group=group,
        headers=random.choice([{}, {"k": "v", "Ünï": "☃"}]),
    )
    if not message.timeout and not message.deadline:
        message = msgspec.structs.replace(message, timeout=1800.0)
    at = pair.now + random.choice([5.0, 60.0, 1000.0]) if random.random() < 0.3 else 0.0
    state = TaskState.SCHEDULED if at else TaskState.AGGREGATING if group else TaskState.PENDING
    verb = {"scheduled": "schedule", "aggregating": "add_to_group", "pending": "enqueue"}[state]
    pair.observe(f"{verb} {queue}/{id} {type} {payload!r} unique={unique} group={group!r} at={at}")
    [mine] = await pair.ours.enqueue([Entry(message, state, at, FOREVER if unique else 0.0)])
    more: dict[str, Any] = {"ttl": FOREVER} if unique else {}
    if at:
        more["at"] = at
    elif group:
        more["group"] = group
    other = await pair.go(verb + ("_unique" if unique else ""), message=go_message(message), **more)
    pair.same(verb, ADMISSIONS.get(mine, True), other)
    if mine is Admission.ACCEPTED:
        pair.known.append(message.ref)
    return Step("enqueue", {"message": message, "scheduled": bool(at), "admission": mine})


# --- servers ------------------------------------------------------------------------------------------


@step(30)
async def dequeue(pair: Pair) -> Step:
    queues = pair.random.sample(QUEUES, pair.random.randint(1, len(QUEUES)))
    mine = await pair.ours.dequeue(queues, 1, LEASE, OWNER)
    other = await pair.go("dequeue", queues=queues)
    pair.observe(f"dequeue {queues}: {mine[0].message.id if mine else 'nothing'}")
    if not mine:
        pair.same("dequeue", "nothing", other)
        return Step("dequeue", {})
    [lease] = mine
    taken = message_as_go(other["message"])
    pair.same("dequeue", message_as_go(go_view(lease.message)), taken)
    pair.same("lease", lease.expires_at, other["expires_at"])
    pair.held[lease.message.ref] = Held(lease, other["message"])
    return Step("dequeue", {})


def some_held(pair: Pair) -> Held | None:
    return pair.held[pair.random.choice(sorted(pair.held))] if pair.held else None


async def settle(
    pair: Pair, name: str, verb: str, settlement: Settlement, message: dict[str, Any], **more: Any
) -> Step:
    ref = settlement.lease.message.ref
    pair.observe(f"{name} {ref.queue}/{ref.id}")
    [mine] = await pair.ours.settle([settlement])
    other = await pair.go(verb, message=message, **more)
    pair.same(name, mine, other)
    del pair.held[ref]
    return Step(name, {"ref": ref})


@step(12)
async def succeed(pair: Pair) -> Step:
    """Delete a done task, or complete it if it has a retention; some with a result."""
    held = some_held(pair)
    if held is None:
        return Step("nothing", {})
    lease, message = held.lease, held.lease.message
    result = pair.random.choice([None, b"", b"\x00result"])
    if result is not None:
        await pair.go("write_result", queue=message.queue, id=message.id, data=result)
    if not message.retention:
        return await settle(
            pair,
            "done",
            "done",
            Settlement(lease, None, message, processed=True, result=result),
            held.message,
        )
    ended = msgspec.structs.replace(message, completed_at=pair.now)
    settlement = Settlement(
        lease, TaskState.COMPLETED, ended, pair.now + message.retention, processed=True, result=result
    )
    return await settle(pair, "complete", "complete", settlement, held.message)


@step(4)
async def write_result(pair: Pair) -> Step:
    held = some_held(pair)
    if held is None:
        return Step("nothing", {})
    message = held.lease.message
    pair.observe(f"result of {message.queue}/{message.id}")
    assert await pair.ours.write_output([Output(held.lease, result=b"early")]) == [True]
    await pair.go("write_result", queue=message.queue, id=message.id, data=b"early")
    return Step("result", {})


@step(5)
async def hand_back(pair: Pair) -> Step:
    held = some_held(pair)
    if held is None:
        return Step("nothing", {})
    settlement = Settlement(held.lease, TaskState.PENDING, held.lease.message)
    return await settle(pair, "requeue", "requeue", settlement, held.message)


@step(12)
async def retry(pair: Pair) -> Step:
    """A counted failure or an uncounted error."""
    held = some_held(pair)
    if held is None:
        return Step("nothing", {})
    lease, message = held.lease, held.lease.message
    counted = pair.random.random() < 0.7
    at, error = pair.now + pair.random.choice([0.0, 10.0, 100.0]), "ValueError: oh ☃"
    after = msgspec.structs.replace(
        message,
        last_error=error,
        last_failed_at=pair.now,
        retried=message.retried + counted,
        deferrals=0 if counted else message.deferrals + 1,
    )
    settlement = Settlement(lease, TaskState.RETRY, after, at, processed=counted, failed=counted)
    return await settle(
        pair, "retry", "retry", settlement, held.message, at=at, error=error, is_failure=counted
    )


@step(6)
async def give_up(pair: Pair) -> Step:
    held = some_held(pair)
    if held is None:
        return Step("nothing", {})
    lease, message = held.lease, held.lease.message
    after = msgspec.structs.replace(message, last_error="hopeless", last_failed_at=pair.now)
    settlement = Settlement(lease, TaskState.ARCHIVED, after, pair.now, processed=True, failed=True)
    return await settle(pair, "archive", "archive", settlement, held.message, error="hopeless")


@step(4)
async def extend(pair: Pair) -> Step:
    """Renew the leases of one queue."""
    queue = pair.random.choice(QUEUES)
    leases = [held.lease for ref, held in sorted(pair.held.items()) if ref.queue == queue]
    if not leases:
        return Step("nothing", {})
    pair.observe(f"renew {len(leases)} in {queue}")
    assert await pair.ours.renew(leases, LEASE) == [True] * len(leases)
    until = await pair.go("extend_lease", queue=queue, ids=[lease.message.id for lease in leases])
    pair.same("renew", leases[0].expires_at, until)
    return Step("renew", {})


@step(5)
async def recover(pair: Pair) -> Step:
    """Recover tasks whose leases expired a minute ago, as Go does: retry, or archive without remaining retries."""
    cutoff = pair.now - 30
    mine = [lease for lease in (await pair.ours.expired(QUEUES, 1000)).leases if lease.expires_at <= cutoff]
    found = await pair.go("expired", queues=QUEUES, at=cutoff)
    other = {TaskRef(item["queue"], item["id"]): item for item in found}
    pair.observe(f"recover {[lease.message.id for lease in mine]}")
    pair.same("expired", sorted(lease.message.ref for lease in mine), sorted(other))
    at, error = pair.now + 20, "asynq: task lease expired"
    for lease in mine:
        message = lease.message
        last = message.retried >= message.max_retry
        after = msgspec.structs.replace(
            message, last_error=error, last_failed_at=pair.now, retried=message.retried + (not last)
        )
        state = TaskState.ARCHIVED if last else TaskState.RETRY
        settlement = Settlement(lease, state, after, pair.now if last else at, processed=True, failed=True)
        assert await pair.ours.settle([settlement]) == [True]
        more: dict[str, Any] = {} if last else {"at": at, "is_failure": True}
        verb = "archive" if last else "retry"
        pair.same("recovery", True, await pair.go(verb, message=other[message.ref], error=error, **more))
        pair.lost.append(pair.held.pop(message.ref))
    return Step("archive" if mine else "nothing", {})


@step(3)
async def settle_late(pair: Pair) -> Step:
    """A lost lease has no effect. Go has no such fence (B27), so Go is not called."""
    if not pair.lost:
        return Step("nothing", {})
    late: Lease = pair.random.choice(pair.lost).lease
    pair.observe(f"too late: {late.message.queue}/{late.message.id}")
    assert await pair.ours.renew([late], LEASE) == [False]
    assert await pair.ours.write_output([Output(late, result=b"late")]) == [False]
    assert await pair.ours.settle([Settlement(late, None, late.message, processed=True)]) == [False]
    return Step("late", {})
