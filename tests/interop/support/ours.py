"""asynqio peers with the methods and views of the Go peers, so that a test runs in both directions."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Self, Unpack

from asynqio import (
    Action,
    Client,
    DuplicateTask,
    Inspector,
    QueueNotFound,
    Task,
    TaskIdConflict,
    TaskInfo,
    TaskNotFound,
    TaskState,
    WrongState,
)
from tests.interop.support.process import Peer, PeerError
from tests.interop.support.views import GoDay, GoGroup, GoOptions, GoProblem, GoQueue, GoServerOptions, GoTask

KINDS: dict[type[Exception], str] = {
    DuplicateTask: "duplicate",
    TaskIdConflict: "id_conflict",
    QueueNotFound: "queue_not_found",
    TaskNotFound: "task_not_found",
    WrongState: "wrong_state",
}


def as_go(info: TaskInfo) -> GoTask:
    """A task of asynqio as Go's view. On the wire, an empty payload equals a missing one."""
    return GoTask(
        id=info.id,
        queue=info.queue,
        type=info.type,
        payload=info.payload or None,
        headers=info.headers or None,
        state=info.state.value,
        max_retry=info.max_retry,
        retried=info.retried,
        last_err=info.last_error,
        last_failed_at=info.last_failed_at or None,
        timeout=info.timeout,
        deadline=info.deadline or None,
        group=info.group,
        next_process_at=info.next_process_at or None,
        is_orphaned=info.is_orphaned,
        retention=info.retention,
        completed_at=info.completed_at or None,
        result=info.result,
    )


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """Translate errors of asynqio to the names of Go's errors."""
    try:
        yield
    except tuple(KINDS) as error:
        raise PeerError(GoProblem(KINDS[type(error)], str(error))) from error


class OurClient:
    """asynqio.Client."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.__aexit__(*exc)

    async def enqueue(
        self, type: str, payload: bytes | None = b"", /, **options: Unpack[GoOptions]
    ) -> GoTask:
        with named_errors():
            return as_go(await self._client.enqueue(Task(type, payload), **options))

    async def enqueue_many(
        self, type: str, payloads: list[bytes], **options: Unpack[GoOptions]
    ) -> list[GoTask]:
        answers = await self._client.enqueue_many([Task(type, payload) for payload in payloads], **options)
        return [as_go(answer) for answer in answers if isinstance(answer, TaskInfo)]


class OurServer(Peer):
    """asynqio.Server in a separate process; see worker.py."""

    role = "server"

    def __init__(self, url: str, **settings: Unpack[GoServerOptions]) -> None:
        super().__init__([sys.executable, "-m", "tests.interop.support.worker"], url, **settings)


class OurInspector:
    """asynqio.Inspector."""

    def __init__(self, url: str) -> None:
        self._inspector = Inspector(url)

    async def __aenter__(self) -> Self:
        await self._inspector.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inspector.__aexit__(*exc)

    # --- queries -------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        return [stats.queue for stats in await self._inspector.queues()]

    async def queue(self, queue: str) -> GoQueue:
        with named_errors():
            stats = await self._inspector.queue(queue)
        facts: dict[str, Any] = {
            name: getattr(stats, name) for name in GoQueue.__struct_fields__ if hasattr(stats, name)
        }
        return GoQueue(**facts, memory_usage=0, timestamp=0.0)

    async def history(self, queue: str, days: int) -> list[GoDay]:
        return [
            GoDay(day.queue, day.processed, day.failed, day.day)
            for day in await self._inspector.history(queue, days)
        ]

    async def groups(self, queue: str) -> list[GoGroup]:
        return [GoGroup(group.group, group.size) for group in await self._inspector.groups(queue)]

    async def task(self, queue: str, id: str) -> GoTask:
        with named_errors():
            return as_go(await self._inspector.find(id, queue=queue))

    async def tasks(
        self, queue: str, state: str, group: str = "", *, size: int | None = None, page: int | None = None
    ) -> list[GoTask]:
        size = size or 30
        found = await self._inspector.tasks(
            queue, TaskState(state), group=group, size=size, offset=size * ((page or 1) - 1)
        )
        return [as_go(info) for info in found]

    # --- actions --------------------------------------------------------------------------------------

    async def pause(self, queue: str) -> None:
        await self._inspector.pause(queue)

    async def unpause(self, queue: str) -> None:
        await self._inspector.resume(queue)

    async def delete_queue(self, queue: str, *, force: bool = False) -> None:
        with named_errors():
            await self._inspector.remove_queue(queue, force=force)

    async def run(self, queue: str, id: str) -> None:
        with named_errors():
            await self._inspector.run(id, queue=queue)

    async def archive(self, queue: str, id: str) -> None:
        with named_errors():
            await self._inspector.archive(id, queue=queue)

    async def delete(self, queue: str, id: str) -> None:
        with named_errors():
            await self._inspector.delete(id, queue=queue)

    async def cancel(self, id: str, queue: str = "default") -> None:
        await self._inspector.cancel_many([id], queue=queue)

    async def update_payload(self, queue: str, id: str, payload: bytes) -> None:
        with named_errors():
            await self._inspector.rewrite(id, payload, queue=queue)

    async def run_all(self, queue: str, state: str, group: str = "") -> int:
        return (await self._inspector.apply(Action.RUN, queue, TaskState(state), group=group)).done

    async def archive_all(self, queue: str, state: str, group: str = "") -> int:
        return (await self._inspector.apply(Action.ARCHIVE, queue, TaskState(state), group=group)).done

    async def delete_all(self, queue: str, state: str, group: str = "") -> int:
        return (await self._inspector.apply(Action.DELETE, queue, TaskState(state), group=group)).done
