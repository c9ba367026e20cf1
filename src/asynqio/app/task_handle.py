"""Handles of enqueued calls: one to await, one that blocks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from asynqio.client import Client
from asynqio.core.attempts.follow import TaskEvent
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.errors import ResultNotKept
from asynqio.task_actions import CancelOutcome

if TYPE_CHECKING:
    from asynqio.sync.client import Client as SyncClient

R = TypeVar("R")  # what the task function returns


class Clients(Protocol):
    """Where task functions and handles get their client from: an App."""

    def open(self) -> Coroutine[Any, Any, Client]: ...
    @property
    def sync(self) -> SyncClient: ...


class _Handle(Generic[R]):
    """What both handles know without asking."""

    def __init__(self, clients: Clients, info: TaskInfo, result_type: Any) -> None:
        #: The task as it was enqueued, or as of the last `refresh` or `wait`.
        self.info = info
        self._clients = clients
        self._result_type = result_type

    @property
    def id(self) -> str:
        """The id of the task, unique within its queue."""
        return self.info.id

    @property
    def queue(self) -> str:
        """The queue of the task."""
        return self.info.queue

    @property
    def ref(self) -> TaskRef:
        """Queue and id."""
        return self.info.ref

    @property
    def state(self) -> TaskState:
        """The state as of `info`."""
        return self.info.state

    def _require_retention(self) -> None:
        if self.info.retention <= 0:
            raise ResultNotKept(self.queue, self.id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.info.type!r}, queue={self.queue!r}, id={self.id!r})"


class TaskHandle(_Handle[R]):
    """One enqueued call: what `await function.enqueue(…)` returns."""

    async def result(self, timeout: float | None = None) -> R:
        """Wait for the task to complete and return what its function returned.

        Raises ResultTimeout after `timeout` seconds, TaskFailed when the task was archived, TaskNotFound, and
        ResultNotKept at once when the task has no `retention`.
        """
        self._require_retention()
        client = await self._clients.open()
        result: R = await client.result(self, self._result_type, timeout=timeout)
        return result

    async def wait(self, timeout: float | None = None) -> TaskInfo:
        """Wait for the task to complete and return its state. Raises as `result` does."""
        self._require_retention()
        self.info = await (await self._clients.open()).wait(self, timeout=timeout)
        return self.info

    async def follow(self) -> AsyncIterator[TaskEvent]:
        """Yield what happens to the task, as it happens: see `Client.follow`."""
        client = await self._clients.open()
        async for event in client.follow(self):
            yield event

    async def refresh(self) -> TaskInfo:
        """Read the present state. Raises TaskNotFound."""
        self.info = await (await self._clients.open()).find(self)
        return self.info

    async def cancel(self, *, final: bool = False) -> CancelOutcome:
        """Delete the task if it waits, stop it if it runs: see `Client.cancel`. Raises TaskNotFound, WrongState."""
        return await (await self._clients.open()).cancel(self, final=final)


class SyncTaskHandle(_Handle[R]):
    """The same for code without an event loop: what `function.enqueue_sync(…)` returns."""

    def result(self, timeout: float | None = None) -> R:
        """See `TaskHandle.result`."""
        self._require_retention()
        result: R = self._clients.sync.result(self, self._result_type, timeout=timeout)
        return result

    def wait(self, timeout: float | None = None) -> TaskInfo:
        """See `TaskHandle.wait`."""
        self._require_retention()
        self.info = self._clients.sync.wait(self, timeout=timeout)
        return self.info

    def follow(self) -> Iterator[TaskEvent]:
        """See `TaskHandle.follow`."""
        return self._clients.sync.follow(self)

    def refresh(self) -> TaskInfo:
        """See `TaskHandle.refresh`."""
        self.info = self._clients.sync.find(self)
        return self.info

    def cancel(self, *, final: bool = False) -> CancelOutcome:
        """See `TaskHandle.cancel`."""
        return self._clients.sync.cancel(self, final=final)
