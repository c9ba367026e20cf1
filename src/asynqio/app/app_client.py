"""The client that an app is."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from asynqio.app.broker_connection import BrokerConnection
from asynqio.brokers.contract.broker import Store
from asynqio.client import Client
from asynqio.core.attempts.follow import TaskEvent
from asynqio.core.task.message import TaskInfo
from asynqio.core.task.naming import AnyTask
from asynqio.core.task.option_values import payload_limit
from asynqio.core.task.options import TaskDefaults, TaskOptions, merge
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError, EnqueueError
from asynqio.inspector.inspector import Inspector
from asynqio.task_actions import CancelOutcome

if TYPE_CHECKING:
    from asynqio.sync.client import Client as SyncClient

T = TypeVar("T")


class AppClient:
    """The methods of `Client`, on a broker that is opened at the first use. A base class of App, not an
    attribute of it: else App would repeat each typed signature."""

    def __init__(self, broker: str | Store | None, *, max_payload: int, defaults: TaskDefaults) -> None:
        self._max_payload = payload_limit("max_payload", max_payload)
        self._defaults = merge(defaults)
        self._tracer: Callable[[Client], None] | None = None
        self._connection = self._connect(broker)

    # --- the broker -------------------------------------------------------------------------------

    def _connect(self, broker: str | Store | None) -> BrokerConnection:
        return BrokerConnection(
            broker, max_payload=self._max_payload, defaults=self._defaults, on_client=self._trace
        )

    @property
    def broker(self) -> Store:
        """The broker, made at the first use. Raises ConfigError without a URL."""
        return self._connection.broker

    @property
    def has_broker(self) -> bool:
        """Whether a broker was given to `App` or `use_broker`, rather than by the environment."""
        return self._connection.is_given

    def use_broker(self, broker: str | Store) -> None:
        """Use another broker (a URL or an open one) than the one given to `App`, before the first task. Raises
        ConfigError once the app is open."""
        if self._connection.is_open or self._connection.clients():
            raise ConfigError(["the app is in use already: choose the broker before the first task"])
        self._connection = self._connect(broker)

    @contextlib.contextmanager
    def on_broker(self, store: Store) -> Iterator[Self]:
        """For tests: use another broker until the end of the `with` block."""
        before, self._connection = self._connection, self._connect(store)
        try:
            yield self
        finally:
            self._connection = before

    def open(self) -> Coroutine[Any, Any, Client]:
        """The client of the running event loop, opened at the first use. Raises BrokerError."""
        return self._connection.open()

    async def close(self) -> None:
        """Close what was opened. The app can be used again afterwards."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- producing --------------------------------------------------------------------------------

    async def enqueue(self, task: Task, **options: Unpack[TaskOptions]) -> TaskInfo:
        """See `Client.enqueue`."""
        return await (await self.open()).enqueue(task, **options)

    async def enqueue_many(
        self, tasks: Iterable[Task], **options: Unpack[TaskOptions]
    ) -> list[TaskInfo | EnqueueError]:
        """See `Client.enqueue_many`. Example: `await app.enqueue_many(resize.task(path, 800) for path in paths)`."""
        return await (await self.open()).enqueue_many(tasks, **options)

    async def find(self, task: AnyTask, *, queue: str = "default") -> TaskInfo:
        """See `Client.find`."""
        return await (await self.open()).find(task, queue=queue)

    @overload
    async def result(
        self, task: AnyTask, as_type: type[T], *, queue: str = ..., timeout: float | None = ...
    ) -> T: ...
    @overload
    async def result(self, task: AnyTask, *, queue: str = ..., timeout: float | None = ...) -> Any: ...
    async def result(
        self, task: AnyTask, as_type: Any = Any, *, queue: str = "default", timeout: float | None = None
    ) -> Any:
        """See `Client.result`."""
        return await (await self.open()).result(task, as_type, queue=queue, timeout=timeout)

    async def wait(self, task: AnyTask, *, queue: str = "default", timeout: float | None = None) -> TaskInfo:
        """See `Client.wait`."""
        return await (await self.open()).wait(task, queue=queue, timeout=timeout)

    async def follow(self, task: AnyTask, *, queue: str = "default") -> AsyncIterator[TaskEvent]:
        """See `Client.follow`."""
        async for event in (await self.open()).follow(task, queue=queue):
            yield event

    async def cancel(self, task: AnyTask, *, queue: str = "default", final: bool = False) -> CancelOutcome:
        """See `Client.cancel`."""
        return await (await self.open()).cancel(task, queue=queue, final=final)

    async def delete(self, task: AnyTask, *, queue: str = "default") -> None:
        """See `Client.delete`."""
        await (await self.open()).delete(task, queue=queue)

    @property
    def sync(self) -> SyncClient:
        """The blocking client, for code without an event loop: opened at the first use, closed with the process."""
        return self._connection.sync

    @property
    def inspector(self) -> Inspector:
        """Reads and manages the queues and tasks of the broker; the app must be open."""
        return Inspector(self.broker)

    def trace(self, tracer: Callable[[Client], None]) -> None:
        """Call `tracer` with every client of this app, once. (`asynqio.otel.instrument` does.)"""
        self._tracer = tracer
        for client in self._connection.clients():
            tracer(client)

    def _trace(self, client: Client) -> None:
        if self._tracer is not None:
            self._tracer(client)
