"""Routes tasks to handlers by type, and wraps middleware around them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias, TypeVar, overload

import msgspec

from asynqio.core.retry import RetryLike, RetryPolicy, as_policy
from asynqio.core.task.options import check_name
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError, HandlerNotFound
from asynqio.runtime.attempts.attempt import active_attempt
from asynqio.runtime.attempts.runner import Route
from asynqio.runtime.hooks import OnFailure, OnRetry, OnSuccess, TaskHooks, task_hooks
from asynqio.runtime.lanes.target import Target, around, target_of
from asynqio.runtime.user_code import PLAIN_TYPES, check_callable, finish, is_coroutine_function

#: Handles one task: `async def` on the event loop, `def` in a thread (or a process).
Handler: TypeAlias = Callable[[Task], Any]
#: What a middleware calls to continue.
Next: TypeAlias = Callable[[Task], Awaitable[Any]]
#: Wrapped around every handler: `async def timing(task, call_next): return await call_next(task)`.
Middleware: TypeAlias = Callable[[Task, Next], Awaitable[Any]]
#: Wrapped around handlers in their own thread or process: `def closing(task, call_next): return call_next(task)`.
ThreadMiddleware: TypeAlias = Callable[[Task, Callable[[Task], Any]], Any]
#: Where a plain function runs.
Lane: TypeAlias = Literal["thread", "process"]

H = TypeVar("H", bound=Handler)
M = TypeVar("M", bound=Middleware)
T = TypeVar("T", bound=ThreadMiddleware)
S = TypeVar("S", bound=OnSuccess)
R = TypeVar("R", bound=OnRetry)
F = TypeVar("F", bound=OnFailure)


class Mux:
    """Routes by task type: the exact pattern, else the longest pattern that the type starts with.

    Patterns are plain prefixes: `"image"` also matches `"imagery:x"`. Middleware wraps every handler, the
    first one outermost, and also the "not found" of types without a handler.
    """

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        #: Wrapped around every handler, the outermost first.
        self.middleware: list[Middleware] = []
        self._thread_middleware: list[ThreadMiddleware] = []
        #: Hooks for tasks of all types.
        self._hooks = TaskHooks()
        self._resolved: dict[str, Route | None] = {}

    @overload
    def handle(
        self,
        pattern: str,
        handler: H,
        /,
        *,
        run_in: Lane = ...,
        retry: RetryLike | None = ...,
        on_success: OnSuccess | None = ...,
        on_retry: OnRetry | None = ...,
        on_failure: OnFailure | None = ...,
    ) -> H: ...
    @overload
    def handle(
        self,
        pattern: str,
        /,
        *,
        run_in: Lane = ...,
        retry: RetryLike | None = ...,
        on_success: OnSuccess | None = ...,
        on_retry: OnRetry | None = ...,
        on_failure: OnFailure | None = ...,
    ) -> Callable[[H], H]: ...
    def handle(
        self,
        pattern: str,
        handler: Handler | None = None,
        /,
        *,
        run_in: Lane = "thread",
        retry: RetryLike | None = None,
        on_success: OnSuccess | None = None,
        on_retry: OnRetry | None = None,
        on_failure: OnFailure | None = None,
    ) -> Any:
        """Register a handler, as a call or as a decorator. The hooks are called as those of `on_success`, `on_retry`
        and `on_failure`, before them. Raises ConfigError, InvalidName."""
        hooks = task_hooks(on_success, on_retry, on_failure)
        if handler is None:
            return functools.partial(
                self.handle,
                pattern,
                run_in=run_in,
                retry=retry,
                on_success=on_success,
                on_retry=on_retry,
                on_failure=on_failure,
            )
        self.add(pattern, in_lane(handler, run_in), as_policy(retry) if retry is not None else None, hooks)
        return handler

    def add(
        self,
        pattern: str,
        perform: Next,
        retry: RetryPolicy | None = None,
        hooks: TaskHooks | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Register a handler that `in_lane` or `in_process` prepared; with `replace`, instead of the one that is
        registered. Raises ConfigError, InvalidName."""
        check_name("type", pattern)
        if pattern in self._routes and not replace:
            raise ConfigError([f"there is a handler for {pattern!r} already"])
        if isinstance(perform, InProcess):
            perform.within(self._thread_middleware)
        self._routes[pattern] = Route(perform, retry, hooks)
        self._resolved.clear()

    def on_success(self, hook: S) -> S:
        """Declare a hook for tasks of all types: `(task, result)`, called when a handler has returned. A plain
        function runs in a thread. What it raises is logged and changes nothing."""
        self._add_hooks(task_hooks(on_success=hook))
        return hook

    def on_retry(self, hook: R) -> R:
        """Declare a hook for tasks of all types: `(task, error)`, called when an attempt failed and the task will be
        retried. Not called for attempts that are not counted (`RetryIn`, `is_failure`)."""
        self._add_hooks(task_hooks(on_retry=hook))
        return hook

    def on_failure(self, hook: F) -> F:
        """Declare a hook for tasks of all types: `(task, error)`, called when a task is archived, because no retry is
        left or its handler raised `SkipRetry`."""
        self._add_hooks(task_hooks(on_failure=hook))
        return hook

    def _add_hooks(self, hooks: TaskHooks) -> None:
        self._hooks += hooks
        self._resolved.clear()

    @overload
    def use(self, middleware: M, *, outermost: bool = ..., in_handler_thread: Literal[False] = ...) -> M: ...
    @overload
    def use(self, middleware: T, *, in_handler_thread: Literal[True]) -> T: ...
    def use(self, middleware: Any, *, outermost: bool = False, in_handler_thread: bool = False) -> Any:
        """Wrap every handler, also those registered before; inside the middleware that exists already, or
        `outermost`. Works as a decorator.

        `in_handler_thread=True`: `middleware` is a plain function of (task, call_next) that runs around plain
        handlers in their own thread, or process (then it must be at the top of a module), inside all other
        middleware. Coroutine handlers have no thread of their own and are not wrapped. Raises ConfigError."""
        if in_handler_thread:
            if not callable(middleware) or is_coroutine_function(middleware):
                raise ConfigError(
                    [f"middleware {middleware!r} must be a plain function: it runs in the handler's thread"]
                )
            check_callable(middleware, "middleware")
            for route in self._routes.values():
                if isinstance(route.perform, InProcess):
                    route.perform.within([middleware])
            self._thread_middleware.append(middleware)
            self._resolved.clear()
            return middleware
        if not is_coroutine_function(middleware):
            wanted = "an async function of (task, call_next), or a plain one with in_handler_thread=True"
            raise ConfigError([f"middleware {middleware!r} must be {wanted}"])
        self.middleware.insert(0 if outermost else len(self.middleware), middleware)
        self._resolved.clear()
        return middleware

    def patterns(self) -> list[str]:
        """The patterns that have a handler, in alphabetical order."""
        return sorted(self._routes)

    @property
    def only_processes(self) -> bool:
        """Whether every handler runs in a task process."""
        return bool(self._routes) and all(
            isinstance(route.perform, InProcess) for route in self._routes.values()
        )

    def route(self, type: str) -> Route | None:
        """How tasks of this type are handled; None: there is no handler."""
        try:
            return self._resolved[type]
        except KeyError:
            if len(self._resolved) >= 10_000:  # types come from producers: they must not fill the memory
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
            if not self.middleware and not self._hooks:
                return None
            found = Route(_not_found)
        perform = found.perform
        if isinstance(perform, InThread | InProcess):
            perform = perform.within(self._thread_middleware)
        for middleware in reversed(self.middleware):
            perform = _wrap(middleware, perform)
        hooks = (found.hooks or TaskHooks()) + self._hooks
        return Route(perform, found.retry, hooks or None)


def _wrap(middleware: Middleware, inner: Next) -> Next:
    async def perform(task: Task) -> Any:
        return await middleware(task, inner)

    return perform


async def _not_found(task: Task) -> Any:
    raise HandlerNotFound(task.type)


class InThread:
    """A plain handler, run in a thread of the server."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, task: Task) -> Any:
        return await self.within([])(task)

    def within(self, middleware: list[ThreadMiddleware]) -> Next:
        """The handler with plain middleware around it, in the same thread."""
        if middleware:
            return self._within(middleware)
        handler = self._handler

        async def perform(task: Task) -> Any:
            attempt = active_attempt.get()
            value = await attempt.environment.threads.run(handler, task, attempt=attempt)
            return value if type(value) in PLAIN_TYPES else await finish(value)

        return perform

    def _within(self, middleware: list[ThreadMiddleware]) -> Next:
        async def perform(task: Task) -> Any:
            returned: Any = None

            def call(task: Task) -> Any:
                nonlocal returned
                returned = self._handler(task)
                return returned

            attempt = active_attempt.get()
            value = await attempt.environment.threads.run(around(call, middleware), task, attempt=attempt)
            if value is returned:
                return await finish(value)
            await finish(returned)  # the middleware dropped a coroutine, or replaced its result
            return await finish(value)

        return perform


class InProcess:
    """A handler that a task process imports and runs."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def __call__(self, task: Task) -> Any:
        return await self.within([])(task)

    def within(self, middleware: list[ThreadMiddleware]) -> Next:
        """The handler with plain middleware around it, in the same process. Raises ConfigError if the middleware
        cannot be imported."""
        names = tuple(target_of(one, what="middleware around process handlers") for one in middleware)
        target = msgspec.structs.replace(self._target, middleware=names)

        async def perform(task: Task) -> Any:
            attempt = active_attempt.get()
            return await attempt.environment.processes.run(target, task, attempt)

        return perform


def in_lane(handler: Handler, run_in: Lane) -> Next:
    """The handler as a coroutine function for the event loop, wherever it really runs. Raises ConfigError."""
    if not callable(handler):
        raise ConfigError([f"{handler!r} is not a function of a task"])
    check_callable(handler, "handler")
    _check_takes_task(handler)
    check_lane(run_in)
    if run_in == "process":
        return in_process(target_of(handler))
    return handler if is_coroutine_function(handler) else InThread(handler)


def _check_takes_task(handler: Handler) -> None:
    """Raises ConfigError if a call with one argument cannot succeed."""
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # some builtin functions have none
        return
    try:
        signature.bind(None)
    except TypeError as problem:
        name = getattr(handler, "__qualname__", repr(handler))
        raise ConfigError(
            [f"handler {name}{signature} must take one argument, the task: {problem}"]
        ) from None


def check_lane(run_in: object) -> None:
    """Raises ConfigError."""
    if run_in not in ("thread", "process"):
        raise ConfigError([f'run_in={run_in!r} must be "thread" or "process"'])


def in_process(target: Target) -> Next:
    """Run what `target` names in a task process."""
    return InProcess(target)
