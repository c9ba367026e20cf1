"""What can be done: each step picks its own details at random, is taken on both sides, and compares the answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from asynqio.brokers.base import Admission, Moved, Note, Page, Where
from asynqio.core.cards import ServerCard, WorkerCard
from asynqio.core.groups import GroupRule
from asynqio.core.lifecycle import Action, Lease, Settlement
from asynqio.core.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task import Entry
from asynqio.core.unique import unique_key
from asynqio.errors import QueueNotFound, WrongState
from tests.interop.differential.pair import ADMISSIONS, MOVES, Held, Pair, Step, go_message, message_as_go

QUEUES = ["default", "mail:eu", "a b"]
GROUPS = ["g", "user:7"]
TYPES = ["ok", "email:send"]
PAYLOADS = [None, b"", b"x", b"\x00\xff"]
#: Of locks, in seconds. Redis counts real time, so no test can see one end; it must not seem to end for us either.
FOREVER = 10 * 365 * 86_400.0
LEASE = 30.0
#: How long a card lasts, in seconds: longer than the test, so that none lapses while it is read.
CARD = 1000.0
OWNER = "differential"
DAY = 86_400.0

Take = Callable[[Pair], Awaitable[Step]]
STEPS: list[tuple[int, Take]] = []


def step(weight: int) -> Callable[[Take], Take]:
    """Take this step about so often, in comparison."""

    def register(take: Take) -> Take:
        STEPS.append((weight, take))
        return take

    return register


def some_ref(pair: Pair) -> TaskRef:
    """A task, more likely one of the last; it may be gone."""
    known = pair.known[-12:] if pair.random.random() < 0.8 else pair.known
    return pair.random.choice(known) if known else TaskRef("default", "nothing")


# --- in -------------------------------------------------------------------------------------------


@step(30)
async def enqueue(pair: Pair) -> Step:
    """Pending, scheduled, grouped, or scheduled in a group; each also unique; sometimes with a taken id."""
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
    pair.note(f"{verb} {queue}/{id} {type} {payload!r} unique={unique} group={group!r} at={at}")
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


# --- out ------------------------------------------------------------------------------------------


@step(30)
async def dequeue(pair: Pair) -> Step:
    queues = pair.random.sample(QUEUES, pair.random.randint(1, len(QUEUES)))
    mine = await pair.ours.dequeue(queues, 1, LEASE, OWNER)
    other = await pair.go("dequeue", queues=queues)
    pair.note(f"dequeue {queues}: {mine[0].message.id if mine else 'nothing'}")
    if not mine:
        pair.same("dequeue", "nothing", other)
        return Step("dequeue", {})
    [lease] = mine
    taken = message_as_go(other["message"])
    pair.same("dequeue", message_as_go(go_view(lease.message)), taken)
    pair.same("lease", lease.expires_at, other["expires_at"])
    pair.held[lease.message.ref] = Held(lease, other["message"])
    return Step("dequeue", {})


def go_view(message: TaskMessage) -> dict[str, Any]:
    """Our message as Go would have told it."""
    view: dict[str, Any] = msgspec.to_builtins(go_message(message))
    return view


def some_held(pair: Pair) -> Held | None:
    return pair.held[pair.random.choice(sorted(pair.held))] if pair.held else None


async def settle(
    pair: Pair, name: str, verb: str, settlement: Settlement, message: dict[str, Any], **more: Any
) -> Step:
    ref = settlement.lease.message.ref
    pair.note(f"{name} {ref.queue}/{ref.id}")
    [mine] = await pair.ours.settle([settlement])
    other = await pair.go(verb, message=message, **more)
    pair.same(name, mine, other)
    del pair.held[ref]
    return Step(name, {"ref": ref})


@step(12)
async def succeed(pair: Pair) -> Step:
    """Done or, if it has a retention, complete; with a result for some."""
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
    pair.note(f"result of {message.queue}/{message.id}")
    assert await pair.ours.note([Note(held.lease, result=b"early")]) == [True]
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
    """A failure, or an error that is none."""
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
    pair.note(f"renew {len(leases)} in {queue}")
    assert await pair.ours.renew(leases, LEASE) == [True] * len(leases)
    until = await pair.go("extend_lease", queue=queue, ids=[lease.message.id for lease in leases])
    pair.same("renew", leases[0].expires_at, until)
    return Step("renew", {})


@step(5)
async def recover(pair: Pair) -> Step:
    """Whose lease lapsed a minute ago, as Go's recoverer does it: retry, or archive after the last."""
    cutoff = pair.now - 30
    mine = [lease for lease in (await pair.ours.expired(QUEUES, 1000)).leases if lease.expires_at <= cutoff]
    found = await pair.go("expired", queues=QUEUES, at=cutoff)
    other = {TaskRef(item["queue"], item["id"]): item for item in found}
    pair.note(f"recover {[lease.message.id for lease in mine]}")
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
async def come_late(pair: Pair) -> Step:
    """Who lost a lease can do nothing with it any more. Go has no such fence (B27), so nobody asks Go."""
    if not pair.lost:
        return Step("nothing", {})
    late: Lease = pair.random.choice(pair.lost).lease
    pair.note(f"too late: {late.message.queue}/{late.message.id}")
    assert await pair.ours.renew([late], LEASE) == [False]
    assert await pair.ours.note([Note(late, result=b"late")]) == [False]
    assert await pair.ours.settle([Settlement(late, None, late.message, processed=True)]) == [False]
    return Step("late", {})


# --- time -----------------------------------------------------------------------------------------


@step(14)
async def wait(pair: Pair) -> Step:
    """Whole seconds: Go drops fractions where we keep them or round up (B21, B33)."""
    seconds = pair.random.choice([1.0, 1.0, 3.0, 10.0, 31.0, 70.0, 130.0])
    long = pair.random.random() < 0.08
    if long:
        seconds = 91 * DAY
    pair.note(f"wait {seconds:.0f} s")
    pair.clock.advance(seconds)
    if not long:
        return Step("wait", {})
    # Redis would have dropped these; but for Redis no time has passed.
    for side in (pair.mine, pair.other):
        for counters in ("processed", "failed"):
            async for key in side.scan_iter(f"asynq:{{*}}:{counters}:*"):
                await side.delete(key)
    # Archives are trimmed by age: by Go whenever something is archived, by us whenever we sweep.
    return await sweep(pair)


@step(10)
async def forward(pair: Pair) -> Step:
    queues = pair.random.sample(QUEUES, pair.random.randint(1, len(QUEUES)))
    pair.note(f"forward {queues}")
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
    """Go has two duties for what is one of ours."""
    pair.note("sweep")
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
    batches.sort(key=lambda batch: batch.group)  # stable: those of one group stay in their order
    pair.note(f"claim {queue} {rule}: {[(batch.group, len(batch.messages)) for batch in batches]}")
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
    """One task in the place of a batch."""
    if not pair.batches:
        return Step("nothing", {})
    batch, set = pair.batches.pop(pair.random.randrange(len(pair.batches)))
    message = TaskMessage(f"m{len(pair.known):03}", "ok", batch.queue, b"merged", timeout=60.0)
    pair.note(f"merge {len(batch.messages)} of {batch.queue}/{batch.group} into {message.id}")
    mine = await pair.ours.merge_group(batch, Entry(message))
    assert mine is Admission.ACCEPTED, pair.report(f"merge: {mine}")
    pair.same("merge", True, await pair.go("enqueue", message=go_message(message)))
    pair.same("merge", True, await pair.go("delete_set", queue=batch.queue, group=batch.group, set=set))
    pair.known.append(message.ref)
    return Step("merge", {"members": list(batch.messages)})


# --- operators ------------------------------------------------------------------------------------


@step(14)
async def move(pair: Pair) -> Step:
    """Run, archive or delete one task, whatever its state."""
    action, ref = pair.random.choice(list(Action)), some_ref(pair)
    if any(ref.id == message.id for batch, _ in pair.batches for message in batch.messages):
        return Step("nothing", {})  # Go fails with a text of its own, having changed nothing either
    [mine] = await pair.ours.move(action, [ref])
    pair.note(f"{action.value} {ref.queue}/{ref.id}: {mine.name}")
    other = await pair.go(f"{action.value}_task", queue=ref.queue, id=ref.id)
    # Go has a name of its own for one of its wrong states, and none for a task of an unknown queue.
    other = {"already_archived": "failed_precondition", "queue_not_found": "task_not_found"}.get(other, other)
    pair.same(f"{action.value} {ref}", MOVES.get(mine, True), other)
    return Step(f"move-{action.value}" if mine is Moved.DONE else "nothing", {"ref": ref})


#: What Go can do with all tasks of a state.
ALL = {
    Action.RUN: ["scheduled", "retry", "archived", "aggregating"],
    Action.ARCHIVE: ["pending", "scheduled", "retry", "aggregating"],
    Action.DELETE: ["pending", "scheduled", "retry", "archived", "completed", "aggregating"],
}


@step(3)
async def move_all(pair: Pair) -> Step:
    action = pair.random.choice(list(Action))
    state, queue = TaskState(pair.random.choice(ALL[action])), pair.random.choice(QUEUES)
    group = pair.random.choice(GROUPS) if state is TaskState.AGGREGATING else ""
    mine: Any
    try:
        mine = await pair.ours.move_all(action, Where(queue, state, group))
    except QueueNotFound:
        mine = "not_found"
    pair.note(f"{action.value} all {state.value} of {queue}/{group}: {mine}")
    other = await pair.go(f"{action.value}_all", queue=queue, state=state.value, group=group)
    pair.same("move_all", mine, {"queue_not_found": "not_found"}.get(other, other))
    return Step(f"move-{action.value}", {})


@step(3)
async def rewrite(pair: Pair) -> Step:
    """Another payload for a scheduled task without a lock: Go would leave the lock behind (B36)."""
    ref = some_ref(pair)
    [info] = await pair.ours.find([ref])
    if info is None or info.state is not TaskState.SCHEDULED or info.unique_key:
        return Step("nothing", {})
    pair.note(f"rewrite {ref.queue}/{ref.id}")
    assert await pair.ours.rewrite({ref: b"rewritten"}) == [Moved.DONE]
    pair.same("rewrite", True, await pair.go("update_payload", queue=ref.queue, id=ref.id, data=b"rewritten"))
    return Step("rewrite", {})


@step(3)
async def pause(pair: Pair) -> Step:
    queue, paused = pair.random.choice(QUEUES), pair.random.random() < 0.4
    if not await pair.mine.sismember("asynq:queues", queue):
        return Step("nothing", {})
    mine = await pair.ours.pause(queue, paused)
    pair.note(f"{'pause' if paused else 'resume'} {queue}: {mine}")
    other = await pair.go("pause" if paused else "unpause", queue=queue)
    pair.same("pause", mine, other is True)
    return Step("pause", {})


@step(1)
async def drop(pair: Pair) -> Step:
    """A queue with all that is in it."""
    queue = pair.random.choice(QUEUES)
    mine: Any
    try:
        await pair.ours.drop(queue, force=True)
        mine = True
    except QueueNotFound:
        mine = "queue_not_found"
    except WrongState:
        mine = "failed_precondition"
    pair.note(f"drop {queue}: {mine}")
    pair.same("drop", mine, await pair.go("remove_queue", queue=queue, force=True))
    if mine is True:
        pair.batches = [(batch, set) for batch, set in pair.batches if batch.queue != queue]
    return Step("drop" if mine is True else "nothing", {"queue": queue})


# --- looking --------------------------------------------------------------------------------------


@step(6)
async def look(pair: Pair) -> Step:
    """The figures of a queue, and the tasks of one state in their order."""
    queue, state = pair.random.choice(QUEUES), pair.random.choice(list(TaskState))
    pair.note(f"look at {queue}, {state.value}")
    other = await pair.go("stats", queue=queue)
    try:
        [stats] = await pair.ours.stats([queue])
    except QueueNotFound:
        pair.same("stats", "queue_not_found", other)
        return Step("look", {})
    names = ["paused", "pending", "active", "scheduled", "retry", "archived", "completed", "latency"]
    names += ["processed", "failed", "processed_total", "failed_total"]
    if not any(batch.queue == queue for batch, _ in pair.batches):
        names += ["aggregating", "size"]  # Go forgets to count the members of batches
    pair.same("stats", {name: getattr(stats, name) for name in names}, {name: other[name] for name in names})
    if state is TaskState.AGGREGATING:
        return Step("look", {})
    mine = [
        [message_as_go(go_view(info)), info.next_process_at or None, info.result or None]
        for info in await pair.ours.tasks(Where(queue, state), Page(1000))
    ]
    found = await pair.go("tasks", queue=queue, state=state.value, size=1000)
    listed = [
        [
            message_as_go(task["message"]),
            task["next_process_at"],
            msgspec.convert(task["result"], bytes | None) or None,
        ]
        for task in found
    ]
    if state in (TaskState.ARCHIVED, TaskState.COMPLETED):
        listed.reverse()  # latest first, as Go says and does not do (B29)
    pair.same(f"{state.value} tasks", mine, listed)
    return Step("look", {})


# --- who is there ---------------------------------------------------------------------------------


@step(3)
async def beat(pair: Pair) -> Step:
    """A server shows itself with what it is doing, or takes its leave."""
    id = pair.random.choice(["s1", "s2"])
    workers = [
        WorkerCard(ref.queue, ref.id, held.lease.message.type, pair.now - 5, pair.now + 60)
        for ref, held in sorted(pair.held.items())
    ]
    # The same task id in two queues is one worker for Go (B18).
    workers = list({worker.id: worker for worker in workers}.values())
    card = ServerCard(id, "host", 7, pair.now - 100, {"default": 3, "low": 1}, True, 5, "active", workers)
    state = {"host": "host", "pid": 7, "server_id": id}
    if pair.random.random() < 0.3:
        pair.note(f"{id} leaves")
        await pair.ours.leave(card)
        pair.same("leave", True, await pair.go("clear_server", server=state))
        return Step("leave", {})
    pair.note(f"{id} beats with {len(workers)} tasks")
    await pair.ours.beat(card, CARD)
    server = {
        **state,
        "concurrency": 5,
        "queues": card.queues,
        "strict_priority": True,
        "status": "active",
        "started": card.started_at,
        "active_worker_count": len(workers),
    }
    running = [
        {
            **state,
            "id": worker.id,
            "type": worker.type,
            "queue": worker.queue,
            "started": worker.started_at,
            "deadline": worker.deadline,
        }
        for worker in workers
    ]
    pair.same("beat", True, await pair.go("write_server", server=server, workers=running, ttl=CARD))
    return Step("beat", {})
