"""asynqio.Inspector for code without an event loop. A test compares the signatures with those of the async class."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import TypeVar

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Moved, Progress
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.explain.model import Explanation
from asynqio.core.filters import Filter
from asynqio.core.findings import Finding
from asynqio.core.info import DayStats, GroupStats, QueueStats, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action, TransferTo
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.core.task.naming import AnyTask
from asynqio.inspector import inspector as _inspector
from asynqio.inspector.bulk import Applied
from asynqio.sync.facade import Facade
from asynqio.sync.schedules import ScheduleInspector
from asynqio.task_actions import CancelOutcome

T = TypeVar("T")


async def _next(found: AsyncGenerator[T]) -> T | None:
    return await anext(found, None)


class Inspector(Facade, ScheduleInspector):
    """asynqio.Inspector, blocking: the same methods and signatures."""

    def __init__(self, broker: str | Store | None = None) -> None:
        super().__init__(broker)
        self._inspector = _inspector.Inspector(self.broker)

    @property
    def _schedules(self) -> _inspector.Inspector:
        return self._inspector

    def queues(self) -> list[QueueStats]:
        """See `asynqio.Inspector.queues`."""
        return self._through.call(self._inspector.queues)

    def queue(self, name: str) -> QueueStats:
        """See `asynqio.Inspector.queue`."""
        return self._through.call(self._inspector.queue, name)

    def history(self, queue: str, days: int = 7) -> list[DayStats]:
        """See `asynqio.Inspector.history`."""
        return self._through.call(self._inspector.history, queue, days)

    def groups(self, queue: str) -> list[GroupStats]:
        """See `asynqio.Inspector.groups`."""
        return self._through.call(self._inspector.groups, queue)

    def flush_group(self, queue: str, group: str) -> int:
        """See `asynqio.Inspector.flush_group`."""
        return self._through.call(self._inspector.flush_group, queue, group)

    def tasks(
        self, queue: str, state: TaskState, *, group: str = "", size: int = 30, offset: int = 0
    ) -> list[TaskInfo]:
        """See `asynqio.Inspector.tasks`."""
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
        """See `asynqio.Inspector.search`."""
        through = self._through
        found = self._inspector.search(
            queue, state, filter, group=group, limit=limit, on_progress=on_progress
        )
        try:
            while (info := through.call(_next, found)) is not None:
                yield info
        finally:
            through.call(found.aclose)

    def find(self, task: AnyTask, *, queue: str = "default") -> TaskInfo:
        """See `asynqio.Inspector.find`."""
        return self._through.call(self._inspector.find, task, queue=queue)

    def find_many(self, tasks: Sequence[AnyTask], *, queue: str = "default") -> list[TaskInfo | None]:
        """See `asynqio.Inspector.find_many`."""
        return self._through.call(self._inspector.find_many, tasks, queue=queue)

    def attempts(self, task: AnyTask, *, queue: str = "default") -> list[AttemptRecord]:
        """See `asynqio.Inspector.attempts`."""
        return self._through.call(self._inspector.attempts, task, queue=queue)

    def explain(self, task: AnyTask, *, queue: str = "default") -> Explanation:
        """See `asynqio.Inspector.explain`."""
        return self._through.call(self._inspector.explain, task, queue=queue)

    def queues_with(self, id: str) -> list[str]:
        """See `asynqio.Inspector.queues_with`."""
        return self._through.call(self._inspector.queues_with, id)

    def nodes(self) -> list[StoreNode]:
        """See `asynqio.Inspector.nodes`."""
        return self._through.call(self._inspector.nodes)

    def servers(self) -> list[ServerInfo]:
        """See `asynqio.Inspector.servers`."""
        return self._through.call(self._inspector.servers)

    def run(self, task: AnyTask, *, queue: str = "default") -> None:
        """See `asynqio.Inspector.run`."""
        self._through.call(self._inspector.run, task, queue=queue)

    def archive(self, task: AnyTask, *, queue: str = "default") -> None:
        """See `asynqio.Inspector.archive`."""
        self._through.call(self._inspector.archive, task, queue=queue)

    def delete(self, task: AnyTask, *, queue: str = "default") -> None:
        """See `asynqio.Inspector.delete`."""
        self._through.call(self._inspector.delete, task, queue=queue)

    def act(self, action: Action, tasks: Sequence[AnyTask], *, queue: str = "default") -> list[Moved]:
        """See `asynqio.Inspector.act`."""
        return self._through.call(self._inspector.act, action, tasks, queue=queue)

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
        """See `asynqio.Inspector.apply`."""
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

    def rewrite(self, task: AnyTask, payload: bytes, *, queue: str = "default") -> None:
        """See `asynqio.Inspector.rewrite`."""
        self._through.call(self._inspector.rewrite, task, payload, queue=queue)

    def transfer(self, tasks: Sequence[AnyTask], target: str, *, queue: str = "default") -> list[Moved]:
        """See `asynqio.Inspector.transfer`."""
        return self._through.call(self._inspector.transfer, tasks, target, queue=queue)

    def cancel(self, task: AnyTask, *, queue: str = "default", final: bool = False) -> CancelOutcome:
        """See `asynqio.Inspector.cancel`."""
        return self._through.call(self._inspector.cancel, task, queue=queue, final=final)

    def cancel_many(
        self, tasks: Sequence[AnyTask], *, queue: str = "default", final: bool = False
    ) -> list[CancelOutcome]:
        """See `asynqio.Inspector.cancel_many`."""
        return self._through.call(self._inspector.cancel_many, tasks, queue=queue, final=final)

    def pause(self, queue: str) -> bool:
        """See `asynqio.Inspector.pause`."""
        return self._through.call(self._inspector.pause, queue)

    def resume(self, queue: str) -> bool:
        """See `asynqio.Inspector.resume`."""
        return self._through.call(self._inspector.resume, queue)

    def pause_type(self, queue: str, type: str) -> bool:
        """See `asynqio.Inspector.pause_type`."""
        return self._through.call(self._inspector.pause_type, queue, type)

    def resume_type(self, queue: str, type: str) -> bool:
        """See `asynqio.Inspector.resume_type`."""
        return self._through.call(self._inspector.resume_type, queue, type)

    def paused_types(self, queue: str) -> dict[str, float]:
        """See `asynqio.Inspector.paused_types`."""
        return self._through.call(self._inspector.paused_types, queue)

    def remove_queue(self, queue: str, *, force: bool = False, on_progress: Progress | None = None) -> None:
        """See `asynqio.Inspector.remove_queue`."""
        self._through.call(self._inspector.remove_queue, queue, force=force, on_progress=on_progress)

    def doctor(self, *, fix: bool = False, on_progress: Progress | None = None) -> list[Finding]:
        """See `asynqio.Inspector.doctor`."""
        return self._through.call(self._inspector.doctor, fix=fix, on_progress=on_progress)
