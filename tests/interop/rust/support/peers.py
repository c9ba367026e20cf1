"""The client and server of the Rust crate asynq as test peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

import msgspec

from tests.interop.support.process import Peer
from tests.interop.support.views import Event

#: Short intervals in seconds, with which a server also stops soon: its parts notice a stop at their next turn.
BRISK = {
    "check_interval": 0.05,
    "delayed_interval": 0.5,
    "janitor_interval": 0.5,
    "heartbeat_interval": 0.5,
    "health_interval": 0.5,
}


class RustTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client returns. The crate fills in no more over a WebSocket."""

    id: str
    queue: str
    type: str
    state: str


class RustSeen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data of a task that a handler sees. The crate shows it neither its queue nor its retries."""

    id: str
    type: str
    payload: bytes
    headers: dict[str, str]


class RustOptions(TypedDict, total=False):
    """The options of a task that the crate's client uses."""

    headers: dict[str, str]
    queue: str
    max_retry: int
    timeout: float
    deadline: float
    retention: float
    task_id: str


class RustServerOptions(TypedDict, total=False):
    """The settings of a server; the first three are for a gateway."""

    user: str | None
    password: str | None
    #: On several threads, the crate's WebSocket broker can give an answer to another caller.
    one_thread: bool
    concurrency: int
    queues: dict[str, int]
    strict: bool
    shutdown_timeout: float
    check_interval: float
    delayed_interval: float
    janitor_interval: float
    health_interval: float
    heartbeat_interval: float
    aggregate: bool
    aggregate_type: str
    group_grace: float
    group_max_delay: float
    group_max_size: int


def seen(event: Event) -> RustSeen:
    """The task of an event of a server."""
    return msgspec.convert(event.task, RustSeen)


class RustClient(Peer):
    """asynq's Client on a Redis URL or the address of a gateway.

    `async with` raises PeerError if it cannot connect.
    """

    role = "client"

    def __init__(self, program: Path, address: str, *, user: str | None = None, password: str | None = None):
        super().__init__(program, address, user=user, password=password)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self.ask("connect")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def enqueue(self, type: str, payload: bytes = b"", /, **options: Unpack[RustOptions]) -> RustTask:
        return await self._task("enqueue", type, payload, **options)

    async def enqueue_in(
        self, delay: float, type: str, payload: bytes = b"", /, **options: Unpack[RustOptions]
    ) -> RustTask:
        return await self._task("enqueue_in", type, payload, delay=delay, **options)

    async def schedule(
        self, at: float, type: str, payload: bytes = b"", /, **options: Unpack[RustOptions]
    ) -> RustTask:
        return await self._task("schedule", type, payload, at=at, **options)

    async def enqueue_unique(
        self, unique: float, type: str, payload: bytes = b"", /, **options: Unpack[RustOptions]
    ) -> RustTask:
        return await self._task("enqueue_unique", type, payload, unique=unique, **options)

    async def schedule_unique(
        self, at: float, unique: float, type: str, payload: bytes = b"", /, **options: Unpack[RustOptions]
    ) -> RustTask:
        return await self._task("schedule_unique", type, payload, at=at, unique=unique, **options)

    async def add_to_group(
        self, group: str, type: str, payload: bytes = b"", /, **options: Unpack[RustOptions]
    ) -> RustTask:
        return await self._task("add_to_group", type, payload, group=group, **options)

    async def add_to_group_unique(
        self, group: str, unique: float, type: str, payload: bytes = b"", /, **options: Unpack[RustOptions]
    ) -> RustTask:
        return await self._task("add_to_group_unique", type, payload, group=group, unique=unique, **options)

    async def ping(self) -> None:
        await self.ask("ping")

    async def close(self) -> None:
        await self.ask("close")

    async def _task(self, verb: str, type: str, payload: bytes, /, **arguments: Any) -> RustTask:
        task: RustTask = await self.ask(verb, RustTask, type=type, payload=payload, **arguments)
        return task


class RustServer(Peer):
    """asynq's Server. The first word of a task type selects the behaviour of the handler:

    `ok`, `result` (writes the payload), `fail`, `flaky:<times>`, `skip`, `panic`, `sleep:<ms>`, and `slow`, which
    runs until `release`. Other types have no handler.

    Its events are `started`, `ended`, `dropped` (by cancellation or a time limit), `aggregated` and `closed`.
    """

    role = "server"

    def __init__(self, program: Path, address: str, **settings: Unpack[RustServerOptions]) -> None:
        super().__init__(program, address, **{**BRISK, **settings})

    async def release(self) -> None:
        """End the tasks that are `slow` without a time."""
        await self.ask("release")


class Rust:
    """Creates Rust peers on a Redis URL or the address of a gateway."""

    def __init__(
        self, program: Path, address: str, *, user: str | None = None, password: str | None = None
    ) -> None:
        self.address = address
        self._program = program
        self._credentials: Any = {"user": user, "password": password}

    def with_account(self, user: str | None, password: str | None) -> Rust:
        """The same with other credentials; the crate sends them only if it has both."""
        return Rust(self._program, self.address, user=user, password=password)

    def at(self, address: str) -> Rust:
        """The same at another address."""
        return Rust(self._program, address, **self._credentials)

    def client(self) -> RustClient:
        return RustClient(self._program, self.address, **self._credentials)

    def server(self, **settings: Unpack[RustServerOptions]) -> RustServer:
        """A server; on one thread unless it is on Redis or the settings say otherwise."""
        here: RustServerOptions = {"one_thread": not self.address.startswith("redis"), **settings}
        return RustServer(self._program, self.address, **self._credentials, **here)
