"""Steps of operators, queries, and heartbeats of servers."""

from __future__ import annotations

from typing import Any

import msgspec

from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved
from asynqio.core.info import ServerInfo, WorkerInfo
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskState
from asynqio.errors import QueueNotFound, WrongState
from tests.interop.differential.pair import (
    MOVES,
    Pair,
    Step,
    go_view,
    message_as_go,
)
from tests.interop.differential.steps import (
    GROUPS,
    INFO_TTL,
    QUEUES,
    some_ref,
    step,
)

# --- operators ------------------------------------------------------------------------------------


@step(14)
async def move(pair: Pair) -> Step:
    """Run, archive or delete one task in any state."""
    action, ref = pair.random.choice(list(Action)), some_ref(pair)
    if any(ref.id == message.id for batch, _ in pair.batches for message in batch.messages):
        return Step("nothing", {})  # Go fails with a special text and changes nothing either
    [mine] = await pair.ours.move(action, [ref])
    pair.observe(f"{action.value} {ref.queue}/{ref.id}: {mine.name}")
    other = await pair.go(f"{action.value}_task", queue=ref.queue, id=ref.id)
    # Go has a special error for one wrong state, and none for a task of an unknown queue.
    other = {"already_archived": "failed_precondition", "queue_not_found": "task_not_found"}.get(other, other)
    pair.same(f"{action.value} {ref}", MOVES.get(mine, True), other)
    return Step(f"move-{action.value}" if mine is Moved.DONE else "nothing", {"ref": ref})


#: Actions of Go on all tasks in a state.
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
    pair.observe(f"{action.value} all {state.value} of {queue}/{group}: {mine}")
    other = await pair.go(f"{action.value}_all", queue=queue, state=state.value, group=group)
    pair.same("move_all", mine, {"queue_not_found": "not_found"}.get(other, other))
    return Step(f"move-{action.value}", {})


@step(3)
async def rewrite(pair: Pair) -> Step:
    """Rewrite the payload of a scheduled task without a lock: Go would keep the old lock (B36)."""
    ref = some_ref(pair)
    [info] = await pair.ours.find([ref])
    if info is None or info.state is not TaskState.SCHEDULED or info.unique_key:
        return Step("nothing", {})
    pair.observe(f"rewrite {ref.queue}/{ref.id}")
    assert await pair.ours.rewrite({ref: b"rewritten"}) == [Moved.DONE]
    pair.same("rewrite", True, await pair.go("update_payload", queue=ref.queue, id=ref.id, data=b"rewritten"))
    return Step("rewrite", {})


@step(3)
async def pause(pair: Pair) -> Step:
    queue, paused = pair.random.choice(QUEUES), pair.random.random() < 0.4
    if not await pair.mine.sismember("asynq:queues", queue):
        return Step("nothing", {})
    mine = await pair.ours.pause(queue, paused)
    pair.observe(f"{'pause' if paused else 'resume'} {queue}: {mine}")
    other = await pair.go("pause" if paused else "unpause", queue=queue)
    pair.same("pause", mine, other is True)
    return Step("pause", {})


@step(1)
async def remove_queue(pair: Pair) -> Step:
    """Remove a queue with its tasks."""
    queue = pair.random.choice(QUEUES)
    mine: Any
    try:
        await pair.ours.remove_queue(queue, force=True)
        mine = True
    except QueueNotFound:
        mine = "queue_not_found"
    except WrongState:
        mine = "failed_precondition"
    pair.observe(f"remove {queue}: {mine}")
    pair.same("remove_queue", mine, await pair.go("remove_queue", queue=queue, force=True))
    if mine is True:
        pair.batches = [(batch, set) for batch, set in pair.batches if batch.queue != queue]
    return Step("remove-queue" if mine is True else "nothing", {"queue": queue})


# --- queries --------------------------------------------------------------------------------------


@step(6)
async def look(pair: Pair) -> Step:
    """Compare the statistics of a queue and the tasks in one state, in order."""
    queue, state = pair.random.choice(QUEUES), pair.random.choice(list(TaskState))
    pair.observe(f"look at {queue}, {state.value}")
    other = await pair.go("stats", queue=queue)
    try:
        [stats] = await pair.ours.stats([queue])
    except QueueNotFound:
        pair.same("stats", "queue_not_found", other)
        return Step("look", {})
    names = ["paused", "pending", "active", "scheduled", "retry", "archived", "completed", "latency"]
    names += ["processed", "failed", "processed_total", "failed_total"]
    if not any(batch.queue == queue for batch, _ in pair.batches):
        names += ["aggregating", "size"]  # Go does not count members of batches
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
        listed.reverse()  # latest first, as Go documents but does not do (B29)
    pair.same(f"{state.value} tasks", mine, listed)
    return Step("look", {})


# --- servers ---------------------------------------------------------------------------------


@step(3)
async def beat(pair: Pair) -> Step:
    """A server publishes its info, or leaves."""
    id = pair.random.choice(["s1", "s2"])
    workers = [
        WorkerInfo(ref.queue, ref.id, held.lease.message.type, pair.now - 5, pair.now + 60)
        for ref, held in sorted(pair.held.items())
    ]
    # For Go, the same task id in two queues is one worker (B18).
    workers = list({worker.id: worker for worker in workers}.values())
    server_info = ServerInfo(
        id, "host", 7, pair.now - 100, {"default": 3, "low": 1}, True, 5, "active", workers
    )
    state = {"host": "host", "pid": 7, "server_id": id}
    if pair.random.random() < 0.3:
        pair.observe(f"{id} leaves")
        await pair.ours.leave(server_info)
        pair.same("leave", True, await pair.go("clear_server", server=state))
        return Step("leave", {})
    pair.observe(f"{id} beats with {len(workers)} tasks")
    await pair.ours.beat(server_info, INFO_TTL)
    server = {
        **state,
        "concurrency": 5,
        "queues": server_info.queues,
        "strict_priority": True,
        "status": "active",
        "started": server_info.started_at,
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
    pair.same("beat", True, await pair.go("write_server", server=server, workers=running, ttl=INFO_TTL))
    return Step("beat", {})
