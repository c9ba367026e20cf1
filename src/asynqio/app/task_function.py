"""A function that can be enqueued, and the handle one gets for it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack

from asynqio.core.attempts.follow import TaskEvent
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.core.task.options import TaskOptions, check_name, merge
from asynqio.core.task.payload import Binding, return_type
from asynqio.core.task.task import Task
from asynqio.errors import ResultNotKept
from asynqio.mux import Lane, Next, check_lane, in_lane, in_process
from asynqio.runtime.lanes.target import target_of

if TYPE_CHECKING:
    from asynqio.app.app import App

P = ParamSpec("P")

C = TypeVar("C")  # what calling the function gives: the result, or a coroutine of it
R = TypeVar("R")  # the result


class TaskFunction(Generic[P, C, R]):
    """What `@app.task` makes of a function. Calling it still just calls the function."""

    def __init__(
        self,
        app: App,
        function: Callable[P, C],
        type: str,
        options: TaskOptions,
        *,
        run_in: Lane = "thread",
        binding: Binding | None = None,
    ) -> None:
        check_name("type", type)
        check_lane(run_in)
        functools.update_wrapper(self, function)
        self.type = type
        self.function = function
        self.run_in = run_in
        self.options = options
        self._app = app
        self._binding = binding or Binding(type, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        return self.function(*args, **kwargs)

    # --- producing --------------------------------------------------------------------------------

    def task(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """The task of this call, for `enqueue_many`. Raises InvalidArguments, NotSerializable."""
        return Task(self.type, self._binding.encode(args, kwargs), **self.options)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> TaskHandle[R]:
        """Have this call made by a worker. Raises as `Client.enqueue` does."""
        client = await self._app.open()
        info = await client.enqueue(self.task(*args, **kwargs))
        return TaskHandle(self._app, info, return_type(self.function))

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> TaskInfo:
        """The same for code without an event loop."""
        return self._app.sync.enqueue(self.task(*args, **kwargs))

    def with_options(self, **options: Unpack[TaskOptions]) -> TaskFunction[P, C, R]:
        """The same function with other options: `send.with_options(process_in=60).enqueue(…)`."""
        return TaskFunction(
            self._app,
            self.function,
            self.type,
            merge(self.options, options),
            run_in=self.run_in,
            binding=self._binding,
        )

    # --- consuming --------------------------------------------------------------------------------

    def performer(self) -> Next:
        """How a server runs it."""
        if self.run_in == "process":
            return in_process(target_of(self.function, binds=True))
        if not inspect.iscoroutinefunction(self.function):
            return in_lane(lambda task: self._binding.call(self.function, task.payload), "thread")
        decode = self._binding.decode
        function: Callable[..., Any] = self.function

        async def perform(task: Task) -> Any:
            args, kwargs = decode(task.payload)
            return await function(*args, **kwargs)

        return perform

    def __repr__(self) -> str:
        return f"<task {self.type!r}: {self.__qualname__}>"  # type: ignore[attr-defined]


class TaskHandle(Generic[R]):
    """One enqueued call: look at it, wait for it, cancel it."""

    def __init__(self, app: App, info: TaskInfo, result_type: Any) -> None:
        #: What was known when it was enqueued, or at the last `refresh`.
        self.info = info
        self._app = app
        self._result_type = result_type

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def queue(self) -> str:
        return self.info.queue

    @property
    def state(self) -> TaskState:
        """As of the last `refresh`."""
        return self.info.state

    async def result(self, timeout: float | None = None) -> R:
        """What the function returned, as soon as it has. Raises as `Client.result` does, and ResultNotKept
        at once when the task has no retention."""
        if self.info.retention <= 0:
            raise ResultNotKept(self.queue, self.id)
        client = await self._app.open()
        result: R = await client.result(self.id, self._result_type, queue=self.queue, timeout=timeout)
        return result

    async def follow(self) -> AsyncIterator[TaskEvent]:
        """What happens to it, as it happens: see `Client.follow`."""
        client = await self._app.open()
        async for event in client.follow(self.id, queue=self.queue):
            yield event

    async def refresh(self) -> TaskInfo:
        """What is known of it now. Raises TaskNotFound."""
        client = await self._app.open()
        self.info = await client.find(self.id, queue=self.queue)
        return self.info

    async def cancel(self) -> None:
        """Tell whoever runs it to stop."""
        client = await self._app.open()
        await client.cancel(self.id, queue=self.queue)

    def __repr__(self) -> str:
        return f"TaskHandle({self.info.type!r}, queue={self.queue!r}, id={self.id!r})"


def module_name(module: str) -> str:
    """The name under which workers import a module that is being run as a script."""
    main = sys.modules.get("__main__")
    if module != "__main__" or main is None:
        return module
    if main.__spec__ is not None:  # python -m package.tasks
        return main.__spec__.name.removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else module
