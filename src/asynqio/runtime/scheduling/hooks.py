"""Calls the application's hooks before and after a scheduler enqueues a task."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from asynqio.brokers.contract.results import Admission, Fired, Replaced
from asynqio.core.task.message import TaskInfo
from asynqio.core.task.options import TaskOptions
from asynqio.core.task.task import Entry, Task
from asynqio.errors import DuplicateTask, EnqueueError, TaskIdConflict
from asynqio.runtime.scheduling.plan import Plan

log = logging.getLogger("asynqio.scheduler")

#: Called with `(task, options)` before a task is enqueued. May be async.
PreEnqueue = Callable[[Task, TaskOptions], Any]
#: Called with `(schedule id, task or error)` afterwards. May be async.
PostEnqueue = Callable[[str, "TaskInfo | EnqueueError"], Any]


class Hooks(NamedTuple):
    """The application's own functions. What they raise is logged and costs no tick."""

    pre: PreEnqueue | None = None
    post: PostEnqueue | None = None

    async def before(self, plan: Plan) -> None:
        """Call the hook before a task of `plan` is enqueued."""
        await _call(self.pre, plan, plan.entry.task, plan.options)

    async def after(self, plan: Plan, outcome: TaskInfo | EnqueueError) -> None:
        """Call the hook with the outcome of a tick."""
        await _call(self.post, plan, plan.id, outcome)


def outcome_of(entry: Entry, fired: Fired, now: float) -> TaskInfo | EnqueueError | None:
    """The outcome of a tick for the application; None if another scheduler fired it, or it is paused."""
    message = entry.message
    admission = fired.admission
    if isinstance(admission, Replaced):
        message = msgspec.structs.replace(message, id=admission.id)
    elif admission is Admission.DUPLICATE:
        return DuplicateTask(message.queue, message.type)
    elif admission is Admission.ID_CONFLICT:
        return TaskIdConflict(message.queue, message.id)
    elif admission is not Admission.ACCEPTED:
        return None
    return TaskInfo.of(message, entry.state, next_process_at=entry.process_at or now)


async def _call(hook: Callable[..., Any] | None, plan: Plan, *values: object) -> None:
    if hook is None:
        return
    try:
        answer = hook(*values)
        if inspect.isawaitable(answer):
            await answer
    except Exception as error:
        log.exception(
            "a hook of the scheduler failed on schedule %r",
            plan.id,
            extra={"event": "scheduler_hook_failed", "schedule_id": plan.id, "error": str(error)},
        )
