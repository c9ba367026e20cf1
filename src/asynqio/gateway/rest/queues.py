"""The queues and their tasks, as asynq-server's REST API has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.exceptions import ValidationException
from litestar.params import PathParameter, QueryParameter

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Moved
from asynqio.core.access.actions import Action as Permission
from asynqio.core.info import QueueStats
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.errors import TaskNotFound, WrongState
from asynqio.gateway.access import permits
from asynqio.gateway.audit import add_details
from asynqio.gateway.rest.dependencies import StoreDependency

#: Most tasks per page.
LARGEST_PAGE = 100
#: The states that a request may name, by what it does with their tasks.
DELETABLE = (TaskState.ARCHIVED, TaskState.RETRY, TaskState.SCHEDULED, TaskState.PENDING)
REQUEUABLE = (TaskState.ARCHIVED, TaskState.RETRY, TaskState.SCHEDULED)

QueueName = Annotated[str, PathParameter(max_length=255, description="The name of a queue.")]
StateName = Annotated[str, QueryParameter(name="state", description="The state of the tasks.")]
TaskId = Annotated[str, PathParameter(max_length=255, description="The id of a task.")]


class QueueSummary(msgspec.Struct):
    """A queue. Sizes are numbers of tasks; `processed` and `failed` count the attempts of today (UTC)."""

    queue: str
    memory_usage_bytes: int
    size: int
    groups: int
    latency_msec: int
    display_latency: str
    active: int
    pending: int
    aggregating: int
    scheduled: int
    retry: int
    archived: int
    completed: int
    processed: int
    succeeded: int
    failed: int
    paused: bool
    timestamp: str


class QueueList(msgspec.Struct):
    """All queues, by name."""

    queues: list[QueueSummary]


class TaskSummary(msgspec.Struct):
    """A task, without payload, headers and result. Times are RFC 3339."""

    id: str
    queue: str
    task_type: str
    state: str
    max_retry: int
    retried: int
    last_err: str | None
    last_failed_at: str | None
    next_process_at: str | None
    completed_at: str | None
    deadline: str | None
    group: str | None
    is_orphaned: bool


class TaskList(msgspec.Struct):
    """One page of tasks; `state`, `page` and `size` are those of the request."""

    tasks: list[TaskSummary]
    state: str
    queue: str
    page: int
    size: int


class Done(msgspec.Struct):
    """What was done."""

    message: str


class DoneMany(msgspec.Struct):
    """What was done, to how many tasks."""

    message: str
    count: int


@get("/api/queues", opt=permits(Permission.READ))
async def list_queues(store: StoreDependency) -> QueueList:
    """List all queues."""
    return QueueList(await _summaries(store, await store.queues()))


@get("/api/queues/{queue:str}", opt=permits(Permission.READ))
async def show_queue(queue: QueueName, store: StoreDependency) -> QueueSummary:
    """Show one queue."""
    [summary] = await _summaries(store, [queue])
    return summary


@get("/api/queues/{queue:str}/tasks", opt=permits(Permission.READ))
async def list_tasks(
    queue: QueueName,
    store: StoreDependency,
    task_state: Annotated[
        str, QueryParameter(name="state", description="The state of the tasks; an unknown one means pending.")
    ] = "pending",
    page: Annotated[int, QueryParameter(description="The number of the page; the first is 0.")] = 0,
    size: Annotated[int, QueryParameter(description="Tasks per page: 1 to 100.")] = 20,
) -> TaskList:
    """List the tasks of a queue, by state."""
    known = TaskState(task_state) if task_state in list(TaskState) else TaskState.PENDING
    length = min(max(size, 1), LARGEST_PAGE)
    infos = await store.tasks(Where(queue, known), Page(length, max(page, 0) * length))
    return TaskList([_task(info) for info in infos], task_state, queue, page, size)


@delete("/api/queues/{queue:str}/tasks", status_code=200, opt=permits(Permission.DELETE))
async def delete_tasks(
    request: Request[Any, Any, Any], queue: QueueName, task_state: StateName, store: StoreDependency
) -> DoneMany:
    """Delete all tasks of a state: archived, retry, scheduled or pending."""
    where = Where(queue, _state(task_state, DELETABLE))
    return await _move_all(request, store, Action.DELETE, where, "Tasks deleted")


@delete("/api/queues/{queue:str}/tasks/{task_id:str}", status_code=200, opt=permits(Permission.DELETE))
async def delete_task(queue: QueueName, task_id: TaskId, store: StoreDependency) -> Done:
    """Delete a task that does not run."""
    return await _move(store, Action.DELETE, queue, task_id, "Task deleted")


@post("/api/queues/{queue:str}/tasks/{task_id:str}/run", status_code=200, opt=permits(Permission.RUN))
async def run_task(queue: QueueName, task_id: TaskId, store: StoreDependency) -> Done:
    """Make a task pending now."""
    return await _move(store, Action.RUN, queue, task_id, "Task is pending")


@post("/api/queues/{queue:str}/tasks/{task_id:str}/archive", status_code=200, opt=permits(Permission.ARCHIVE))
async def archive_task(queue: QueueName, task_id: TaskId, store: StoreDependency) -> Done:
    """Archive a task that does not run."""
    return await _move(store, Action.ARCHIVE, queue, task_id, "Task archived")


@post("/api/queues/{queue:str}/tasks/requeue", status_code=200, opt=permits(Permission.RUN))
async def requeue_tasks(
    request: Request[Any, Any, Any], queue: QueueName, task_state: StateName, store: StoreDependency
) -> DoneMany:
    """Make all tasks of a state pending now: archived, retry or scheduled."""
    where = Where(queue, _state(task_state, REQUEUABLE))
    return await _move_all(request, store, Action.RUN, where, "Tasks are pending")


@post("/api/queues/{queue:str}/pause", status_code=200, opt=permits(Permission.PAUSE))
async def pause_queue(queue: QueueName, store: StoreDependency) -> Done:
    """Pause a queue: no task of it starts. Pausing a paused queue changes nothing."""
    await store.pause(queue, True)
    return Done("Queue paused")


@post("/api/queues/{queue:str}/resume", status_code=200, opt=permits(Permission.PAUSE))
async def resume_queue(queue: QueueName, store: StoreDependency) -> Done:
    """Resume a queue. Resuming a queue that is not paused changes nothing."""
    await store.pause(queue, False)
    return Done("Queue resumed")


ROUTES: list[Any] = [
    list_queues,
    show_queue,
    list_tasks,
    delete_tasks,
    delete_task,
    run_task,
    archive_task,
    requeue_tasks,
    pause_queue,
    resume_queue,
]


def _state(text: str, allowed: tuple[TaskState, ...]) -> TaskState:
    if text not in allowed:
        raise ValidationException(f"state must be one of {', '.join(allowed)}")
    return TaskState(text)


async def _move(store: Store, action: Action, queue: str, id: str, message: str) -> Done:
    ref = TaskRef(queue, id)
    [moved] = await store.move(action, [ref])
    if moved is Moved.NOT_FOUND:
        raise TaskNotFound(*ref)
    if moved is Moved.WRONG_STATE:
        raise WrongState(f"task {id!r} of queue {queue!r} cannot be {action.value}d in its present state")
    return Done(message)


async def _move_all(
    request: Request[Any, Any, Any], store: Store, action: Action, where: Where, message: str
) -> DoneMany:
    add_details(request, state=where.state)
    count = await store.move_all(action, where)
    add_details(request, count=count)
    return DoneMany(message, count)


async def _summaries(store: Store, queues: list[str]) -> list[QueueSummary]:
    stats, memory = await store.stats(queues), await store.memory_usage(queues)
    now = _time(store.clock.now()) or ""
    return [_queue(one, used, now) for one, used in zip(stats, memory, strict=True)]


def _queue(stats: QueueStats, memory: int, now: str) -> QueueSummary:
    return QueueSummary(
        queue=stats.queue,
        memory_usage_bytes=memory,
        size=stats.size,
        groups=stats.groups,
        latency_msec=round(stats.latency * 1000),
        display_latency=_span(stats.latency),
        active=stats.active,
        pending=stats.pending,
        aggregating=stats.aggregating,
        scheduled=stats.scheduled,
        retry=stats.retry,
        archived=stats.archived,
        completed=stats.completed,
        processed=stats.processed,
        succeeded=max(stats.processed - stats.failed, 0),
        failed=stats.failed,
        paused=stats.paused,
        timestamp=now,
    )


def _task(info: TaskInfo) -> TaskSummary:
    return TaskSummary(
        id=info.id,
        queue=info.queue,
        task_type=info.type,
        state=info.state.value,
        max_retry=info.max_retry,
        retried=info.retried,
        last_err=info.last_error or None,
        last_failed_at=_time(info.last_failed_at),
        next_process_at=_time(info.next_process_at),
        completed_at=_time(info.completed_at),
        deadline=_time(info.deadline),
        group=info.group or None,
        is_orphaned=info.is_orphaned,
    )


def _time(moment: float) -> str | None:
    return datetime.fromtimestamp(moment, UTC).isoformat() if moment else None


def _span(seconds: float) -> str:
    """`12.34s`, `7m29.47s`, `2h7m29.47s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:.2f}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
