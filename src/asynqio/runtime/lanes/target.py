"""The import path of a handler, for processes that have to find it."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from asynqio.core.task.payload import Binding
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError
from asynqio.runtime import user_code
from asynqio.runtime.lanes.binding import bind


class Target(msgspec.Struct, frozen=True):
    """A function that can be imported."""

    module: str
    name: str
    #: It takes the arguments in the payload, not the task.
    binds: bool = False
    #: Functions of (task, call_next) that run around it, the outermost first.
    middleware: tuple[Target, ...] = ()

    def load(self) -> Callable[[Task], Any]:
        """Import the handler and its middleware, as one function of the task."""
        found = self.resolve()
        if not self.binds:
            call: Callable[[Task], Any] = found
        else:
            # The name may refer to the function itself or to what the app's decorator made of it.
            function = getattr(found, "function", found)
            call = functools.partial(_bind_and_call, function)
        if self.middleware:
            call = around(functools.partial(_run_to_end, call), [one.resolve() for one in self.middleware])
        return call

    def resolve(self) -> Any:
        """Import the module and return what the name refers to."""
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        return found

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def target_of(function: Callable[..., Any], *, binds: bool = False, what: str = 'run_in="process"') -> Target:
    """The import path of a function. `binds`: it takes the arguments in the payload, not the task. Raises ConfigError
    if other processes cannot import it; `what` names the use in the message."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name or "<" in name:
        raise ConfigError(
            [f"{function!r} cannot run in a process: {what} needs a function at the top of a module"]
        )
    return Target(module, name, binds)


def around(call: Callable[[Task], Any], middleware: list[Callable[..., Any]]) -> Callable[[Task], Any]:
    """A handler with plain middleware around it, the first one outermost."""
    for one in reversed(middleware):
        call = functools.partial(_call_middleware, one, call)
    return call


def _call_middleware(middleware: Callable[..., Any], call_next: Callable[[Task], Any], task: Task) -> Any:
    return middleware(task, call_next)


def _bind_and_call(function: Callable[..., Any], task: Task) -> Any:
    return _binding(task.type, function).call(function, task.payload)


@functools.lru_cache
def _binding(type: str, function: Callable[..., Any]) -> Binding:
    return bind(type, function)


def _run_to_end(call: Callable[[Task], Any], task: Task) -> Any:
    """Call a handler, and run it if it is a coroutine: its middleware sees the result."""
    return finish(call(task))


def finish(value: Any) -> Any:
    """The value, or the result of the awaitable that it is, which runs on this process' own event loop.

    Raises HandlerMisuse."""
    if inspect.isawaitable(value):
        return process_loop.run(value)
    user_code.refuse_unrun(value)
    return value


class ProcessLoop:
    """The event loop of a task process, made at first need. Its handlers share it: an async client of a module is
    bound to the loop of its first use. It runs only while a coroutine of a handler runs."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Run to its end. What it sets in the context is not kept."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        loop = self._runner.get_loop()
        task = loop.create_task(user_code.finish(awaitable), context=contextvars.copy_context())
        try:
            return loop.run_until_complete(task)
        except BaseException:
            # SystemExit or KeyboardInterrupt of a child task stops the loop: the handler must not continue within
            # the next task.
            if not task.done():
                task.cancel()
                loop.run_until_complete(asyncio.wait([task]))
            raise

    def close(self) -> None:
        """Cancel what is left on the loop, and close it."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None


process_loop = ProcessLoop()
