"""Go's client, server, scheduler, inspector and internal code as test peers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import urlsplit

from tests.interop.support.process import TIMEOUT, Peer
from tests.interop.support.views import (
    GoDay,
    GoEnqueueEvent,
    GoEntry,
    GoGroup,
    GoOptions,
    GoQueue,
    GoServerInfo,
    GoServerOptions,
    GoTask,
)
from tests.schedules import Fired, Firing, Printed


class GoClient(Peer):
    """asynq.Client."""

    role = "client"

    def __init__(self, program: Path, url: str) -> None:
        super().__init__(program, url)

    async def enqueue(
        self, type: str, payload: bytes | None = b"", /, **options: Unpack[GoOptions]
    ) -> GoTask:
        """Enqueue a task; a payload of None is Go's nil. Raises PeerError."""
        answer: GoTask = await self.ask("enqueue", GoTask, type=type, payload=payload, **options)
        return answer

    async def enqueue_many(
        self, type: str, payloads: list[bytes], **options: Unpack[GoOptions]
    ) -> list[GoTask]:
        """Enqueue identical tasks one after the other with one request."""
        tasks = [{"type": type, "payload": payload, **options} for payload in payloads]
        answer: list[GoTask] = await self.ask("enqueue_many", list[GoTask], tasks=tasks)
        return answer


class GoServer(Peer):
    """asynq.Server. The first word of a task type selects the behaviour of the handler:

    `ok`, `result` (returns the payload), `fail`, `flaky:<times>`, `soft` (an uncounted error), `skip`,
    `revoke`, `panic`, `sleep:<ms>` (until cancelled), `cpu:<ms>` (ignores cancellation). Other types have no handler.

    Its events are `started`, `ended`, `failed` (from the error handler), `aggregated`, `stopped` and `closed`.
    """

    role = "server"

    def __init__(self, program: Path, url: str, **settings: Unpack[GoServerOptions]) -> None:
        super().__init__(program, url, **settings)


class OldGoServer(Peer):
    """A server of Go asynq 0.21, and the one task "slow" that it enqueues and runs until `finish`.

    Its events are `started`, `ended`, `cancelled` and `closed`.
    """

    role = "server"

    def __init__(self, program: Path, url: str) -> None:
        super().__init__(program, url)

    async def finish(self) -> None:
        """Let its task end."""
        assert self._running.stdin is not None
        self._running.stdin.write(b"finish\n")
        await self.event("ended")


class GoScheduler(Peer):
    """asynq.Scheduler. Its events are `enqueued` and `refused`."""

    role = "scheduler"

    def __init__(self, program: Path, url: str, *, location: str = "UTC", heartbeat: int = 1) -> None:
        super().__init__(program, url, location=location, heartbeat=heartbeat)

    async def register(
        self, spec: str, type: str, payload: bytes | None = b"", /, **options: Unpack[GoOptions]
    ) -> str:
        """Register an entry; return its id."""
        task = {"type": type, "payload": payload, **options}
        answer: str = await self.ask("register", str, spec=spec, task=task)
        return answer

    async def unregister(self, entry: str) -> None:
        await self.ask("unregister", entry=entry)

    async def start(self) -> None:
        await self.ask("start")

    async def shutdown(self) -> None:
        await self.ask("shutdown")


class GoInspector(Peer):
    """asynq.Inspector."""

    role = "inspector"

    def __init__(self, program: Path, url: str) -> None:
        super().__init__(program, url)

    # --- queries -------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        return sorted(await self.ask("queues", list[str]))

    async def queue(self, queue: str) -> GoQueue:
        answer: GoQueue = await self.ask("queue", GoQueue, queue=queue)
        return answer

    async def history(self, queue: str, days: int) -> list[GoDay]:
        answer: list[GoDay] = await self.ask("history", list[GoDay], queue=queue, days=days)
        return answer

    async def groups(self, queue: str) -> list[GoGroup]:
        answer: list[GoGroup] = await self.ask("groups", list[GoGroup], queue=queue)
        return answer

    async def task(self, queue: str, id: str) -> GoTask:
        answer: GoTask = await self.ask("task", GoTask, queue=queue, id=id)
        return answer

    async def tasks(
        self, queue: str, state: str, group: str = "", *, size: int | None = None, page: int | None = None
    ) -> list[GoTask]:
        """A page of the tasks in one state; pages are counted from 1."""
        answer: list[GoTask] = await self.ask(
            "tasks", list[GoTask], queue=queue, state=state, group=group, size=size, page=page
        )
        return answer

    async def servers(self) -> list[GoServerInfo]:
        answer: list[GoServerInfo] = await self.ask("servers", list[GoServerInfo])
        return answer

    async def entries(self) -> list[GoEntry]:
        answer: list[GoEntry] = await self.ask("entries", list[GoEntry])
        return answer

    async def events(self, entry: str, *, size: int | None = None) -> list[GoEnqueueEvent]:
        """The tasks enqueued by a scheduler entry, newest first."""
        answer: list[GoEnqueueEvent] = await self.ask("events", list[GoEnqueueEvent], id=entry, size=size)
        return answer

    # --- actions --------------------------------------------------------------------------------------

    async def pause(self, queue: str) -> None:
        await self.ask("pause", queue=queue)

    async def unpause(self, queue: str) -> None:
        await self.ask("unpause", queue=queue)

    async def delete_queue(self, queue: str, *, force: bool = False) -> None:
        await self.ask("delete_queue", queue=queue, force=force)

    async def run(self, queue: str, id: str) -> None:
        await self.ask("run", queue=queue, id=id)

    async def archive(self, queue: str, id: str) -> None:
        await self.ask("archive", queue=queue, id=id)

    async def delete(self, queue: str, id: str) -> None:
        await self.ask("delete", queue=queue, id=id)

    async def cancel(self, id: str) -> None:
        await self.ask("cancel", id=id)

    async def update_payload(self, queue: str, id: str, payload: bytes) -> None:
        await self.ask("update_payload", queue=queue, id=id, payload=payload)

    async def run_all(self, queue: str, state: str, group: str = "") -> int:
        return await self._all("run_all", queue, state, group)

    async def archive_all(self, queue: str, state: str, group: str = "") -> int:
        return await self._all("archive_all", queue, state, group)

    async def delete_all(self, queue: str, state: str, group: str = "") -> int:
        return await self._all("delete_all", queue, state, group)

    async def _all(self, do: str, queue: str, state: str, group: str) -> int:
        answer: int = await self.ask(do, int, queue=queue, state=state, group=group)
        return answer


class GoRdb(Peer):
    """asynq's internal rdb.RDB, with a clock that is set by `now`.

    Its verbs are in `go/rdb.go`.
    """

    role = "rdb"

    def __init__(self, program: Path, url: str) -> None:
        super().__init__(program, url)

    async def do(self, verb: str, answer: Any = Any, /, *, now: float, **arguments: Any) -> Any:
        return await self.ask(verb, answer, now=now, **arguments)


class GoCron(Peer):
    """Go's parser of cron specs (robfig/cron as in asynq) and durations. It needs no Redis."""

    role = "cron"

    def __init__(self, program: Path) -> None:
        super().__init__(program, "redis://nowhere")

    async def fire(self, firings: list[Firing]) -> list[Fired]:
        answer: list[Fired] = []
        for some in (firings[at : at + 100] for at in range(0, len(firings), 100)):
            answer += await self.ask("fire", list[Fired], firings=some)
        return answer

    async def durations(self, texts: list[str]) -> list[Printed]:
        answer: list[Printed] = await self.ask("durations", list[Printed], texts=texts)
        return answer


class GoCli:
    """The command `asynq`."""

    def __init__(self, program: Path, url: str) -> None:
        parts = urlsplit(url)
        where = ["--uri", f"{parts.hostname}:{parts.port}", "--db", parts.path.strip("/") or "0"]
        self._command, self._where = str(program), where

    async def __call__(self, *arguments: str) -> str:
        """Return the output. The exit status is meaningless: errors are lines of output."""
        process = await asyncio.create_subprocess_exec(
            self._command,
            *arguments,
            *self._where,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
        return output.decode()
