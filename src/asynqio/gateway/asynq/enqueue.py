"""The six requests that enqueue a task."""

from __future__ import annotations

from typing import TypeAlias

from asynqio.core.task.options import TaskOptions
from asynqio.core.task.task import Task
from asynqio.gateway.asynq import answers, requests
from asynqio.gateway.asynq.session import Session

AnyEnqueue: TypeAlias = (
    requests.Enqueue
    | requests.EnqueueUnique
    | requests.Schedule
    | requests.ScheduleUnique
    | requests.AddToGroup
    | requests.AddToGroupUnique
)


async def enqueue(session: Session, request: AnyEnqueue) -> str:
    """Enqueue a task. Raises EnqueueError, AccessDenied, BrokerError."""
    data = request.data
    # Rust, as Go, stores an empty payload as none: the keys of uniqueness locks depend on it.
    task = Task(data.task_type, data.payload or None)
    return answers.task_info(await session.client.enqueue(task, **options_of(data)))


def options_of(data: requests.NewTask) -> TaskOptions:
    """The options of a task. A lock is held for at least a second: Rust cuts fractions off."""
    options: TaskOptions = {}
    if data.queue is not None:
        options["queue"] = data.queue
    if data.max_retry is not None:
        options["max_retry"] = max(data.max_retry, 0)
    if data.task_id:
        options["task_id"] = data.task_id
    if data.headers:
        options["headers"] = {name.lower(): _one_value(value) for name, value in data.headers.items()}
    if data.timeout:
        options["timeout"] = data.timeout
    if data.deadline:
        options["deadline"] = data.deadline
    if data.retention:
        options["retention"] = data.retention
    if isinstance(data, requests.ScheduledTask | requests.UniqueScheduledTask):
        options["process_at"] = max(data.process_at, 1)
    elif isinstance(data, requests.GroupTask | requests.UniqueGroupTask):
        options["group"] = data.group
    if isinstance(data, requests.UniqueTask | requests.UniqueScheduledTask | requests.UniqueGroupTask):
        options["unique"] = max(data.ttl_seconds, 1)
    return options


def _one_value(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
