"""Puts the current task on log records."""

from __future__ import annotations

import logging
from typing import TypedDict

from asynqio.core.task.message import TaskMessage
from asynqio.runtime.attempts import context
from asynqio.runtime.attempts.attempt import active_attempt

#: The root of our own loggers.
OWN = "asynqio"


class TaskFields(TypedDict):
    """The fields that name an attempt in log records."""

    task_id: str
    task_type: str
    queue: str
    #: 1-based. Attempts that were not counted (`RetryIn`, a server that stopped) repeat their number.
    attempt: int


def task_fields(message: TaskMessage) -> TaskFields:
    """The fields of an attempt at the task of `message`."""
    return {
        "task_id": message.id,
        "task_type": message.type,
        "queue": message.queue,
        "attempt": message.retried + 1,
    }


def current_message() -> TaskMessage | None:
    """The message of the task that the calling code handles; None outside of a handler."""
    if context.process_context is not None:
        return context.process_context.message
    attempt = active_attempt.get(None)
    return None if attempt is None else attempt.lease.message


class TaskContextFilter(logging.Filter):
    """Sets `task_id`, `task_type`, `queue` and `attempt` on every record that is emitted inside a task handler.

    Add it to a handler of the root logger: `handler.addFilter(TaskContextFilter())`. It works in coroutine
    handlers, in threads of the thread lane and in task processes; threads that a handler starts itself need its
    context (`contextvars.copy_context().run`). Fields given with `extra` are kept. Records of asynqio itself have
    the fields of the task that they are about, if any, and are left as they are. It drops no record."""

    def filter(self, record: logging.LogRecord) -> bool:
        # A background task of ours may have been started by a handler, and keeps its context.
        if record.name.partition(".")[0] != OWN and (message := current_message()) is not None:
            record.__dict__.update({**task_fields(message), **record.__dict__})
        return True


def add_to_root_handlers() -> None:
    """Add the filter to each handler of the root logger that lacks it."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(present, TaskContextFilter) for present in handler.filters):
            handler.addFilter(TaskContextFilter())
