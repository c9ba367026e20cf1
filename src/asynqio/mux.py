"""Which handler gets which task, and what is wrapped around all of them (spec: redis wire format, 7.3)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, TypeVar, overload

from asynqio.core.retry import RetryLike, RetryPolicy, as_policy
from asynqio.core.task.options import check_name
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError, HandlerNotFound
from asynqio.runtime.attempts.attempt import active_attempt
from asynqio.runtime.lanes.child import Target
from asynqio.runtime.runner import Route

#: Handles one task: `async def` on the event loop, `def` in a thread (or a process).
Handler: TypeAlias = Callable[[Task], Any]
#: What a middleware calls to go on.
Next: TypeAlias = Callable[[Task], Awaitable[Any]]
#: Wrapped around every handler: `async def timing(task, call_next): return await call_next(task)`.
Middleware: TypeAlias = Callable[[Task, Next], Awaitable[Any]]
#: Where a plain function runs.
Lane: TypeAlias = Literal["thread", "process"]

H = TypeVar("H", bound=Handler)
M = TypeVar("M", bound=Middleware)


class Mux:
    """Routes by task type: the exact pattern, else the longest pattern that the type starts with.

    Patterns are plain prefixes: `"image"` also matches `"imagery:x"`. Middleware wraps every handler, the
    first one outermost, and also the "not found" of types without a handler.
    """

    def __init__(self) -> None:
        self._routes: dict[str, tuple[Next, RetryPolicy | None]] = {}
        #: What is wrapped around every handler, the outermost first.
        self.middleware: list[Middleware] = []
        self._resolved: dict[str, Route | None] = {}

    @overload
    def handle(
        self, pattern: str, handler: H, /, *, run_in: Lane = ..., retry: RetryLike | None = ...
    ) -> H: ...
    @overload
    def handle(
        self, pattern: str, /, *, run_in: Lane = ..., retry: RetryLike | None = ...
    ) -> Callable[[H], H]: ...
    def handle(
        self,
        pattern: str,
        handler: Handler | None = None,
        /,
        *,
        run_in: Lane = "thread",
        retry: RetryLike | None = None,
    ) -> Any:
        """Register a handler, as a call or as a decorator. Raises ConfigError, InvalidName."""
        if handler is None:
            return functools.partial(self.handle, pattern, run_in=run_in, retry=retry)
        self.add(pattern, in_lane(handler, run_in), as_policy(retry) if retry is not None else None)
        return handler

    def add(
        self, pattern: str, perform: Next, retry: RetryPolicy | None = None, *, replace: bool = False
    ) -> None:
        """Register a handler that is ready to await; with `replace`, instead of the one that is registered. Raises
        ConfigError, InvalidName."""
        check_name("type", pattern)
        if pattern in self._routes and not replace:
            raise ConfigError([f"there is a handler for {pattern!r} already"])
        self._routes[pattern] = (perform, retry)
        self._resolved.clear()

    def use(self, middleware: M, *, outermost: bool = False) -> M:
        """Wrap every handler, also those registered before; within the middleware that is there already, or
        `outermost`. Works as a decorator."""
        if not inspect.iscoroutinefunction(middleware) and not inspect.iscoroutinefunction(
            getattr(middleware, "__call__", None)  # noqa: B004
        ):
            raise ConfigError([f"middleware {middleware!r} must be an async function of (task, call_next)"])
        self.middleware.insert(0 if outermost else len(self.middleware), middleware)
        self._resolved.clear()
        return middleware

    def patterns(self) -> list[str]:
        """What has a handler, in alphabetical order."""
        return sorted(self._routes)

    def route(self, type: str) -> Route | None:
        """How tasks of this type are handled; None: not at all."""
        try:
            return self._resolved[type]
        except KeyError:
            if len(self._resolved) >= 10_000:  # types are data of others: never let them fill the memory
                self._resolved.clear()
            route = self._resolved[type] = self._resolve(type)
            return route

    def _resolve(self, type: str) -> Route | None:
        found = self._routes.get(type)
        if found is None:
            prefixes = [pattern for pattern in self._routes if type.startswith(pattern)]
            if prefixes:
                found = self._routes[max(prefixes, key=len)]
        if found is None:
            if not self.middleware:
                return None
            found = (_not_found, None)
        perform, retry = found
        for middleware in reversed(self.middleware):
            perform = _wrap(middleware, perform)
        return Route(perform, retry)


def _wrap(middleware: Middleware, inner: Next) -> Next:
    async def perform(task: Task) -> Any:
        return await middleware(task, inner)

    return perform


async def _not_found(task: Task) -> Any:
    raise HandlerNotFound(task.type)


def in_lane(handler: Handler, run_in: Lane) -> Next:
    """The handler as something to await on the event loop, wherever it really runs. Raises ConfigError."""
    if not callable(handler):
        raise ConfigError([f"{handler!r} is not a function of a task"])
    check_lane(run_in)
    if run_in == "process":
        return in_process(target_of(handler))
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004
    ):
        return handler

    async def perform(task: Task) -> Any:
        attempt = active_attempt.get()
        return await attempt.runner.threads.run(handler, task, attempt=attempt)

    return perform


def check_lane(run_in: object) -> None:
    """Raises ConfigError."""
    if run_in not in ("thread", "process"):
        raise ConfigError([f'run_in={run_in!r} must be "thread" or "process"'])


def in_process(target: Target) -> Next:
    """Run what `target` names in a process of the pool."""

    async def perform(task: Task) -> Any:
        attempt = active_attempt.get()
        return await attempt.runner.processes.run(target, task, attempt)

    return perform


def target_of(function: Callable[..., Any], *, binds: bool = False) -> Target:
    """How another process finds a function (`binds`: it takes the payload's arguments, not the task).
    Raises ConfigError when it cannot."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or "<" in name:
        raise ConfigError(
            [
                f'{function!r} cannot run in a process: run_in="process" needs a function at the top of a module'
            ]
        )
    return Target(module, name, binds)
