"""Calls the application's hooks when an attempt has ended and its outcome is decided.

A plain function runs in a thread, a coroutine function on the event loop. The lease is kept meanwhile. What a hook
raises is logged and changes nothing. If the server dies before the outcome is stored, the task runs again, and so
do its hooks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from asynqio.core.attempts.ending import Ending, ending_of
from asynqio.core.lifecycle import Failed, Outcome, Settlement, error_text
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError, Directive, HandlerNotFound
from asynqio.runtime.attempts.attempt import ThreadLane
from asynqio.runtime.attempts.exits import guarded, is_from_signal
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.user_code import callable_problems, finish, is_coroutine_function

log = logging.getLogger("asynqio.server")

#: Called with the error of each failed attempt (Go's ErrorHandler). `final`: the task is archived, not retried.
OnError: TypeAlias = Callable[[Task, BaseException, bool], Awaitable[None] | None]
#: Called with what the handler returned.
OnSuccess: TypeAlias = Callable[[Task, Any], Awaitable[None] | None]
#: Called with the error of an attempt that will be retried.
OnRetry: TypeAlias = Callable[[Task, BaseException], Awaitable[None] | None]
#: Called with the error of a task that is archived.
OnFailure: TypeAlias = Callable[[Task, BaseException], Awaitable[None] | None]


class TaskHooks(msgspec.Struct, frozen=True):
    """Hooks for the tasks of one route, called in this order."""

    success: tuple[OnSuccess, ...] = ()
    retry: tuple[OnRetry, ...] = ()
    failure: tuple[OnFailure, ...] = ()

    def __add__(self, other: TaskHooks) -> TaskHooks:
        return TaskHooks(self.success + other.success, self.retry + other.retry, self.failure + other.failure)

    def __bool__(self) -> bool:
        return bool(self.success or self.retry or self.failure)


def task_hooks(
    on_success: OnSuccess | None = None, on_retry: OnRetry | None = None, on_failure: OnFailure | None = None
) -> TaskHooks:
    """The hooks that an application declared for a task. Raises ConfigError."""
    given: dict[str, object] = {"on_success": on_success, "on_retry": on_retry, "on_failure": on_failure}
    problems = [
        f"{name}={hook!r} is not a function"
        for name, hook in given.items()
        if hook is not None and not callable(hook)
    ]
    for name, hook in given.items():
        if callable(hook):
            problems += [f"{name}: {problem}" for problem in callable_problems(hook)]
    if problems:
        raise ConfigError(problems)
    return TaskHooks(
        (on_success,) if on_success else (),
        (on_retry,) if on_retry else (),
        (on_failure,) if on_failure else (),
    )


class HookRunner:
    """Runs the hooks of a server."""

    def __init__(self, threads: ThreadLane, on_error: OnError | None) -> None:
        self._threads = threads
        self._on_error = on_error

    async def run(
        self, hooks: TaskHooks | None, outcome: Outcome, settlement: Settlement, value: object
    ) -> None:
        """Call what applies to the end of an attempt. `value`: what its handler returned."""
        message = settlement.lease.message
        ending = ending_of(outcome, settlement)
        hooks = hooks or TaskHooks()
        if not isinstance(outcome, Failed):
            if ending is Ending.SUCCEEDED:
                await self._call_each("on_success", hooks.success, message, value)
            return
        failure = failure_of(outcome.error)
        final = ending is Ending.ARCHIVED
        failed = final or ending is Ending.RETRIED
        if (
            self._on_error is not None
            and not isinstance(failure, Directive)
            and (failed or isinstance(failure, HandlerNotFound))
        ):
            await self._call_each("on_error", [self._on_error], message, failure, final)
        if final:
            await self._call_each("on_failure", hooks.failure, message, failure)
        elif failed:
            await self._call_each("on_retry", hooks.retry, message, failure)

    async def _call_each(
        self, name: str, hooks: Iterable[Callable[..., Any]], message: TaskMessage, *values: object
    ) -> None:
        for hook in hooks:
            try:
                await self._call(hook, Task.received(message), *values)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                if is_from_signal(error):
                    raise
                log.error(
                    "the %s hook failed on task %r: %s",
                    name,
                    message.id,
                    error_text(error),
                    exc_info=error,
                    extra={
                        "event": "hook_failed",
                        "hook": name,
                        "error": error_text(error),
                        **task_fields(message),
                    },
                )

    async def _call(self, hook: Callable[..., Any], *values: object) -> None:
        if is_coroutine_function(hook):
            await guarded(finish(hook(*values)))
        else:
            await guarded(finish(await self._threads.run(hook, *values)))


def failure_of(error: BaseException) -> BaseException:
    """The error of an attempt for its hooks: the cause of a directive (`raise SkipRetry from error`), if any."""
    if isinstance(error, Directive) and error.__cause__ is not None:
        return error.__cause__
    return error
