"""A function that can be enqueued."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from asynqio.app.task_handle import Clients, SyncTaskHandle, TaskHandle
from asynqio.core.task.options import TaskOptions, check_declared, check_name, merge
from asynqio.core.task.payload import Binding
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError
from asynqio.mux import Lane, Next, check_lane, in_lane, in_process
from asynqio.runtime.lanes.binding import bind
from asynqio.runtime.lanes.target import target_of
from asynqio.runtime.user_code import check_callable, is_coroutine_function

P = ParamSpec("P")

C = TypeVar("C")  # what a call of the function returns: the result, or a coroutine
R = TypeVar("R")  # the result


class TaskFunction(Generic[P, C, R]):
    """A function decorated with `@app.task`. Calling it calls the function."""

    def __init__(
        self,
        clients: Clients,
        function: Callable[P, C],
        type: str,
        options: TaskOptions,
        *,
        run_in: Lane = "thread",
        binding: Binding | None = None,
    ) -> None:
        check_name("type", type)
        check_callable(function, f"task {type!r}")
        try:
            check_lane(run_in)
        except ConfigError as error:
            raise ConfigError([f"task {type!r}: {problem}" for problem in error.problems]) from None
        functools.update_wrapper(self, function)
        self.type = type
        self.function = function
        self.run_in = run_in
        self.options = options
        self._clients = clients
        self._binding = binding or bind(type, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        return self.function(*args, **kwargs)

    # --- producing --------------------------------------------------------------------------------

    def task(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """The task of a call, for `enqueue_many`. Raises InvalidArguments, NotSerializable."""
        return Task.declared(self.type, self._binding.encode(args, kwargs), self.options.copy())

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Enqueue a call, for a worker to make. Raises InvalidArguments, NotSerializable, and as
        `Client.enqueue` does."""
        client = await self._clients.open()
        info = await client.enqueue(self.task(*args, **kwargs))
        return TaskHandle(self._clients, info, self._binding.returns)

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> SyncTaskHandle[R]:
        """The same for code without an event loop. Raises RuntimeError on a thread that runs one."""
        info = self._clients.sync.enqueue(self.task(*args, **kwargs))
        return SyncTaskHandle(self._clients, info, self._binding.returns)

    def with_options(self, **options: Unpack[TaskOptions]) -> TaskFunction[P, C, R]:
        """The same function with other options: `send.with_options(process_in=60).enqueue(…)`. Raises InvalidOption,
        InvalidName, ConflictingOptions."""
        check_declared(options, "task", self.type)
        return TaskFunction(
            self._clients,
            self.function,
            self.type,
            merge(self.options, options),
            run_in=self.run_in,
            binding=self._binding,
        )

    # --- consuming --------------------------------------------------------------------------------

    def performer(self) -> Next:
        """The handler that a server runs."""
        if self.run_in == "process":
            return in_process(target_of(self.function, binds=True))
        if not is_coroutine_function(self.function):
            return in_lane(lambda task: self._binding.call(self.function, task.payload), "thread")
        decode = self._binding.decode
        function: Callable[..., Any] = self.function

        async def perform(task: Task) -> Any:
            args, kwargs = decode(task.payload)
            return await function(*args, **kwargs)

        return perform

    def __repr__(self) -> str:
        return f"<task {self.type!r}: {getattr(self.function, '__qualname__', self.function)}>"


class TaskDecorator(Protocol):
    """What `@app.task(…)` returns: it keeps the signature of the function."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R, R]: ...
    def __call__(self, function: Any, /) -> Any: ...


def default_type(function: Callable[..., Any]) -> str:
    """The type of a task that is declared without one: `module.function`. Raises ConfigError."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not name:
        raise ConfigError([f'{function!r} has no name: give the task a type, app.task("type")'])
    return f"{module_name(module)}.{name}"


def module_name(module: str) -> str:
    """The name under which workers import a module that runs as a script."""
    main = sys.modules.get("__main__")
    if module != "__main__" or main is None:
        return module
    if main.__spec__ is not None:  # python -m package.tasks
        return main.__spec__.name.removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else module


def dotted_name(function: Callable[..., Any]) -> str:
    """Module and name of a function, for messages."""
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"


def is_redeclared(before: Callable[..., Any], after: Callable[..., Any]) -> bool:
    """Whether both are the same function, declared again after a reload or in a notebook."""
    return dotted_name(before) == dotted_name(after) and "<lambda>" not in dotted_name(after)
