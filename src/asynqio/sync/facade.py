"""The same names for code without an event loop: every call goes through a portal to the real ones.

    from asynqio.sync import Client

    with Client("sqlite:///tasks.db") as client:
        client.enqueue(Task.json("email:send", {"to": "ann@example.org"}))

May be used from any number of threads. A test compares the signatures with those of the async classes.
"""

from __future__ import annotations

import atexit
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, Unpack, overload

from asynqio import client as _client
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.config import store_of
from asynqio.core.attempts.follow import TaskEvent
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.explain.model import Explanation
from asynqio.core.filters import Filter
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action, TransferTo
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.core.task.options import TaskOptions
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Task
from asynqio.errors import EnqueueError
from asynqio.inspector import inspector as _inspector
from asynqio.inspector.bulk import Applied
from asynqio.sync.portal import Portal, refuse_loop
from asynqio.sync.schedules import ScheduleInspector

T = TypeVar("T")


async def _next(found: AsyncGenerator[T]) -> T | None:
    return await anext(found, None)


class _Facade:
    """Opening and closing, for both."""

    def __init__(self, broker: str | Store | None) -> None:
        self.broker, self._owned = store_of(broker)
        self._portal: Portal | None = None

    def open(self, *, own_broker: bool | None = None) -> Self:
        """What `with` does; for objects that live as long as the process."""
        if self._portal is None:
            if own_broker is not None:
                self._owned = own_broker
            if self._owned:
                refuse_loop()
            self._portal = Portal()
            if self._owned:
                try:
                    self._portal.call(self.broker.__aenter__)
                except BaseException:
                    self._portal.close()
                    self._portal = None
                    raise
            atexit.register(self.close)
        return self

    def close(self) -> None:
        """No effect when it is closed already."""
        portal, self._portal = self._portal, None
        if portal is not None:
            atexit.unregister(self.close)
            try:
                if self._owned:
                    portal.call(self.broker.__aexit__, None, None, None)
            finally:
                portal.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def _through(self) -> Portal:
        if self._portal is None:
            raise RuntimeError("it is not open: use it in a `with` block, or call open() first")
        return self._portal


class Client(_Facade):
    """asynqio.Client, blocking."""

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        **defaults: Unpack[TaskOptions],
    ) -> None:
        super().__init__(broker)
        self._client = _client.Client(self.broker, max_payload=max_payload, **defaults)

    @property
    def awaited(self) -> _client.Client:
        """The one that does the work, on a loop of its own."""
        return self._client

    def enqueue(self, task: Task, **options: Unpack[TaskOptions]) -> TaskInfo:
        return self._through.call(self._client.enqueue, task, **options)

    def enqueue_many(
        self, tasks: Iterable[Task], **options: Unpack[TaskOptions]
    ) -> list[TaskInfo | EnqueueError]:
        return self._through.call(self._client.enqueue_many, tasks, **options)

    def find(self, id: str | TaskInfo, *, queue: str = "default") -> TaskInfo:
        return self._through.call(self._client.find, id, queue=queue)

    @overload
    def result(
        self, id: str | TaskInfo, as_type: type[T], *, queue: str = ..., timeout: float | None = ...
    ) -> T: ...
    @overload
    def result(self, id: str | TaskInfo, *, queue: str = ..., timeout: float | None = ...) -> Any: ...
    def result(
        self, id: str | TaskInfo, as_type: Any = Any, *, queue: str = "default", timeout: float | None = None
    ) -> Any:
        return self._through.call(self._client.result, id, as_type, queue=queue, timeout=timeout)

    def wait(self, id: str | TaskInfo, *, queue: str = "default", timeout: float | None = None) -> TaskInfo:
        return self._through.call(self._client.wait, id, queue=queue, timeout=timeout)

    def follow(self, id: str | TaskInfo, *, queue: str = "default") -> Iterator[TaskEvent]:
        return self._through.iterate(self._client.follow(id, queue=queue))

    def cancel(self, id: str | TaskInfo, *, queue: str = "default") -> None:
        self._through.call(self._client.cancel, id, queue=queue)

    def delete(self, ids: Sequence[str], *, queue: str = "default") -> list[Moved]:
        return self._through.call(self._client.delete, ids, queue=queue)


class Inspector(_Facade, ScheduleInspector):
    """asynqio.Inspector, blocking."""

    def __init__(self, broker: str | Store | None = None) -> None:
        super().__init__(broker)
        self._inspector = _inspector.Inspector(self.broker)

    @property
    def _schedules(self) -> _inspector.Inspector:
        return self._inspector

    def queues(self) -> list[QueueStats]:
        return self._through.call(self._inspector.queues)

    def queue(self, name: str) -> QueueStats:
        return self._through.call(self._inspector.queue, name)

    def history(self, queue: str, days: int = 7) -> list[DayStats]:
        return self._through.call(self._inspector.history, queue, days)

    def groups(self, queue: str) -> list[GroupStats]:
        return self._through.call(self._inspector.groups, queue)

    def flush_group(self, queue: str, group: str) -> int:
        return self._through.call(self._inspector.flush_group, queue, group)

    def tasks(
        self, queue: str, state: TaskState, *, group: str = "", size: int = 30, offset: int = 0
    ) -> list[TaskInfo]:
        return self._through.call(self._inspector.tasks, queue, state, group=group, size=size, offset=offset)

    def search(
        self,
        queue: str,
        state: TaskState,
        filter: Filter | None = None,
        *,
        group: str = "",
        limit: int | None = None,
        on_progress: Callable[[Applied], object] | None = None,
    ) -> Generator[TaskInfo]:
        through = self._through
        found = self._inspector.search(
            queue, state, filter, group=group, limit=limit, on_progress=on_progress
        )
        try:
            while (info := through.call(_next, found)) is not None:
                yield info
        finally:
            through.call(found.aclose)

    def task(self, queue: str, id: str) -> TaskInfo:
        return self._through.call(self._inspector.task, queue, id)

    def attempts(self, queue: str, id: str) -> list[AttemptRecord]:
        return self._through.call(self._inspector.attempts, queue, id)

    def explain(self, queue: str, id: str) -> Explanation:
        return self._through.call(self._inspector.explain, queue, id)

    def queues_with(self, id: str) -> list[str]:
        return self._through.call(self._inspector.queues_with, id)

    def find(self, queue: str, ids: Sequence[str]) -> list[TaskInfo | None]:
        return self._through.call(self._inspector.find, queue, ids)

    def nodes(self) -> list[StoreNode]:
        return self._through.call(self._inspector.nodes)

    def servers(self) -> list[ServerInfo]:
        return self._through.call(self._inspector.servers)

    def run(self, queue: str, id: str) -> None:
        self._through.call(self._inspector.run, queue, id)

    def archive(self, queue: str, id: str) -> None:
        self._through.call(self._inspector.archive, queue, id)

    def delete(self, queue: str, id: str) -> None:
        self._through.call(self._inspector.delete, queue, id)

    def move(self, action: Action, queue: str, ids: Sequence[str]) -> list[Moved]:
        return self._through.call(self._inspector.move, action, queue, ids)

    def apply(
        self,
        action: Action | TransferTo,
        queue: str,
        state: TaskState,
        filter: Filter | None = None,
        *,
        group: str = "",
        limit: int | None = None,
        on_progress: Callable[[Applied], object] | None = None,
    ) -> Applied:
        return self._through.call(
            self._inspector.apply,
            action,
            queue,
            state,
            filter,
            group=group,
            limit=limit,
            on_progress=on_progress,
        )

    def rewrite(self, queue: str, id: str, payload: bytes) -> None:
        self._through.call(self._inspector.rewrite, queue, id, payload)

    def move_to(self, queue: str, ids: Sequence[str], target: str) -> list[Moved]:
        return self._through.call(self._inspector.move_to, queue, ids, target)

    def cancel(self, queue: str, ids: Sequence[str], *, archive: bool = False) -> None:
        self._through.call(self._inspector.cancel, queue, ids, archive=archive)

    def pause(self, queue: str) -> bool:
        return self._through.call(self._inspector.pause, queue)

    def resume(self, queue: str) -> bool:
        return self._through.call(self._inspector.resume, queue)

    def pause_type(self, queue: str, type: str) -> bool:
        return self._through.call(self._inspector.pause_type, queue, type)

    def resume_type(self, queue: str, type: str) -> bool:
        return self._through.call(self._inspector.resume_type, queue, type)

    def paused_types(self, queue: str) -> dict[str, float]:
        return self._through.call(self._inspector.paused_types, queue)

    def remove_queue(self, queue: str, *, force: bool = False, progress: Progress | None = None) -> None:
        self._through.call(self._inspector.remove_queue, queue, force=force, progress=progress)

    def doctor(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        return self._through.call(self._inspector.doctor, fix=fix, progress=progress)
