"""The Broker half of the remote broker: life cycle, and one call of the gateway per method."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Self
from urllib.parse import SplitResult

from asynqio.brokers.contract.limits import ARCHIVE_LIMIT
from asynqio.brokers.contract.open_sockets import OPEN_SOCKETS
from asynqio.brokers.contract.per_loop import PerLoop
from asynqio.brokers.contract.processes import reset_after_fork
from asynqio.brokers.contract.producer import RunOnLoop
from asynqio.brokers.contract.results import (
    Admission,
    Cancellation,
    Claimed,
    Expired,
    Fired,
    Forwarded,
    Output,
    Progress,
    Replaced,
    Swept,
)
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.brokers.remote.connection.errors import not_open
from asynqio.brokers.remote.inspection import RemoteInspection
from asynqio.brokers.remote.loop_session import LoopSession
from asynqio.brokers.remote.operations.enqueue import enqueue
from asynqio.brokers.remote.settings import RemoteSettings, parse
from asynqio.brokers.remote.wire.hello import Hello
from asynqio.brokers.remote.wire.operations import OF_STORE
from asynqio.clock import Clock, SystemClock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupFailure, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry
from asynqio.errors import PayloadTooLarge

#: Seconds of a round trip to a gateway on the same machine: the default until it is measured.
LOCAL_ROUND_TRIP = 0.0003


def open_remote(parts: SplitResult, clock: Clock | None = None) -> RemoteBroker:
    """Make the broker of a gateway's URL; entering it connects. Raises ConfigError."""
    return RemoteBroker(parse(parts), clock)


class RemoteBroker(RemoteInspection):
    """A `Store` behind a gateway.

    It is open from the first `async with` to the end of the last one. Meanwhile any event loop may use it: each has
    its own connection, from its first call until the broker or the loop is closed.
    """

    shared = True

    def __init__(self, settings: RemoteSettings, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._settings = settings
        self._round_trip = LOCAL_ROUND_TRIP
        self._hello: Hello | None = None
        self._users = 0
        self._counting = threading.Lock()
        self._sessions = PerLoop(self._make_session)
        reset_after_fork(self)

    @property
    def url(self) -> str:
        return self._settings.url

    @property
    def private_url(self) -> str:
        return self._settings.private_url

    @property
    def archive_limit(self) -> int:
        """That of the gateway; until it is known, the default."""
        return ARCHIVE_LIMIT if self._hello is None else self._hello.archive_limit

    @property
    def round_trip(self) -> float:
        return self._round_trip

    def clone(self) -> RemoteBroker:
        return RemoteBroker(self._settings, self.clock)

    # --- life cycle -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        with self._counting:
            self._users += 1
        try:
            await self._open_session()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        """Close the sessions of all event loops after the last user. Until then, others of this loop may use its."""
        with self._counting:
            self._users -= 1
            if self._users:
                return
        for loop, session in self._sessions.clear().items():
            if loop is asyncio.get_running_loop():
                await session.close()
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(session.close_soon)
        OPEN_SOCKETS.close_abandoned()

    def _make_session(self) -> LoopSession:
        OPEN_SOCKETS.close_abandoned()
        return LoopSession(self._settings, self.clock, self._sessions.discard)

    @property
    def _here(self) -> LoopSession:
        """The session of the running event loop, perhaps not connected yet. Raises BrokerUnavailable."""
        if not self._users:
            raise not_open(self._settings.location)
        return self._sessions.get()

    async def _open_session(self) -> LoopSession:
        here = self._here
        await here.open()
        self._round_trip = here.round_trip or LOCAL_ROUND_TRIP
        self._hello = here.connection.hello
        return here

    async def _session(self) -> LoopSession:
        here = self._here
        return here if here.is_open else await self._open_session()

    async def _call(self, name: str, *arguments: Any, progress: Progress | None = None) -> Any:
        connection = (await self._session()).connection
        operation = OF_STORE[name]
        call = connection.send(operation, arguments, progress=progress)
        if not operation.progress:
            return await call.answer
        try:
            return await call.answer
        except asyncio.CancelledError:
            if not connection.withdraw(call):
                connection.notify("cancel", call.id)
            raise

    def _after_fork(self) -> None:
        self._counting = threading.Lock()

    async def ping(self) -> None:
        await self._call("ping")

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._here.notifications.watch(topics)

    # --- enqueueing -------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        payload = entry.message.payload
        if payload is not None and self._hello is not None and len(payload) > self._hello.max_payload:
            raise PayloadTooLarge(entry.message.type, len(payload), self._hello.max_payload)

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        return await enqueue((await self._session()).connection, entries)

    def producer(self, run: RunOnLoop) -> None:
        return None

    # --- dequeueing, leases, settling -------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        session = await self._session()
        return session.clock.leases(await session.hand_back.dequeue((queues, limit, lease, owner, timed)))

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        until = await self._call("renew", leases, lease)
        return self._here.clock.renew(leases, until)

    async def renew_owner(self, owner: str, lease: float) -> int:
        return await self._call("renew_owner", owner, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        try:
            return await self._call("settle", settlements)
        except Exception:
            # It may have been applied, wholly or in part: the store recognises the next attempt.
            for settlement in settlements:
                settlement.lease.unconfirmed = True
            raise

    async def write_output(self, outputs: Sequence[Output]) -> list[bool]:
        return await self._call("write_output", outputs)

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        return await self._call("attempts", refs)

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        return await self._call("paused_types", queues)

    # --- background duties ------------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        session = await self._session()
        return session.clock.at(await self._call("forward", queues, limit))

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        session = await self._session()
        return session.clock.expired(await self._call("expired", queues, limit))

    async def accepts_writes(self, queues: Sequence[str]) -> list[bool]:
        return await self._call("accepts_writes", queues)

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        session = await self._session()
        return session.clock.at(await self._call("sweep", queues, limit))

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        session = await self._session()
        return session.clock.claimed(await session.hand_back.claim_groups((queues, policy, limit)))

    async def renew_batches(self, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
        return await self._call("renew_batches", batches, lease)

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        return await self._call("merge_group", batch, merged)

    async def delete_batch(self, batch: GroupBatch) -> bool:
        return await self._call("delete_batch", batch)

    async def return_batch(
        self, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
    ) -> bool:
        return await self._call("return_batch", batch, failure, archive)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        return await self._call("register_schedules", queue, ids)

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        return await self._call("fire", fires)

    async def record(self, events: Sequence[FireEvent]) -> None:
        await self._call("record", events)

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        return await self._call("prune_schedules", queue, ids, before)

    # --- heartbeats -------------------------------------------------------------------------------

    async def beat(self, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
        await self._call("beat", info, ttl)

    async def leave(self, info: ServerInfo | SchedulerInfo) -> None:
        await self._call("leave", info)

    # --- cancellation -----------------------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        await self._call("cancel", refs, archive)

    def cancellations(self) -> AsyncIterator[Cancellation]:
        return self._here.notifications.cancellations()
