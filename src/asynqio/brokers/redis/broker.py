"""The Broker half of the Redis broker: life cycle and delegation. Each operation is a module in `operations/`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Self

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
    Replaced,
    Swept,
)
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.brokers.redis.admin import stats
from asynqio.brokers.redis.connection.errors import not_open
from asynqio.brokers.redis.inspection import RedisInspection
from asynqio.brokers.redis.loop_session import LoopSession
from asynqio.brokers.redis.operations import (
    attempts,
    dequeue,
    enqueue,
    forward,
    groups,
    output,
    schedules,
    servers,
    settle,
    sweep,
)
from asynqio.brokers.redis.operations.leases import accepts_writes, expired, renew, renew_owner
from asynqio.brokers.redis.producer import RedisProducer
from asynqio.brokers.redis.session import LOCAL_ROUND_TRIP, Session, checked_keys
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.brokers.redis.url import parse
from asynqio.clock import Clock, SystemClock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupFailure, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry


def open_redis(url: str, clock: Clock | None = None) -> RedisBroker:
    """Make the broker of a Redis URL; entering it connects. Raises ConfigError."""
    return RedisBroker(parse(url), clock)


class RedisBroker(RedisInspection):
    """A `Store` on Redis, in the layout of Go asynq.

    It is open from the first `async with` to the end of the last one. Meanwhile any event loop may use it: each has
    its own connection, from its first call until the broker or the loop is closed. It inherits the Inspection half
    because one object must satisfy both protocols.
    """

    shared = True

    def __init__(self, settings: RedisSettings, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._settings = settings
        self._round_trip = LOCAL_ROUND_TRIP
        self._users = 0
        self._counting = threading.Lock()
        self._sessions = PerLoop(self._make_session)
        reset_after_fork(self)

    @property
    def url(self) -> str:
        return self._settings.url

    @property
    def archive_limit(self) -> int:
        return self._settings.archive_limit

    @property
    def private_url(self) -> str:
        return self._settings.private_url

    @property
    def round_trip(self) -> float:
        return self._round_trip

    def clone(self) -> RedisBroker:
        return RedisBroker(self._settings, self.clock)

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
        self._round_trip = here.session.round_trip
        return here

    async def _session(self) -> Session:
        here = self._here
        if not here.is_open:
            here = await self._open_session()
        return here.session

    def _after_fork(self) -> None:
        self._counting = threading.Lock()

    async def ping(self) -> None:
        await (await self._session()).redis.command(None, "PING")

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._here.notifications.watch(topics)

    # --- enqueueing -------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        checked_keys(self._settings, entry.message.queue)

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        if len(entries) == 1:
            return [await enqueue.enqueue_one(await self._session(), entries[0])]
        return await enqueue.enqueue(await self._session(), entries)

    def producer(self, run: RunOnLoop) -> RedisProducer | None:
        if self._settings.kind == "cluster":
            return None  # the event loop knows where each queue is
        return RedisProducer(self._settings, self.clock, self._session, run)

    # --- dequeueing, leases, settling -------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        leases = await dequeue.dequeue(await self._session(), queues, limit, lease, owner, timed)
        self._here.notifications.dequeued(leases)
        return leases

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        return await stats.paused_types(await self._session(), queues)

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        return await renew(await self._session(), leases, lease)

    async def renew_owner(self, owner: str, lease: float) -> int:
        return await renew_owner(await self._session(), owner, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await settle.settle(await self._session(), settlements)

    async def write_output(self, outputs: Sequence[Output]) -> list[bool]:
        return await output.write_output(await self._session(), outputs)

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        return await attempts.attempts(await self._session(), refs)

    # --- background duties ------------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        return await forward.forward(await self._session(), queues, limit)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        return await expired(await self._session(), queues, limit)

    async def accepts_writes(self, queues: Sequence[str]) -> list[bool]:
        return await accepts_writes(await self._session(), queues)

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        return await sweep.sweep(await self._session(), self._here.lease_repair, queues, limit)

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        return await groups.claim_groups(await self._session(), queues, policy, limit)

    async def renew_batches(self, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
        return await groups.renew_batches(await self._session(), batches, lease)

    async def delete_batch(self, batch: GroupBatch) -> bool:
        return await groups.delete_batch(await self._session(), batch)

    async def return_batch(
        self, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
    ) -> bool:
        return await groups.return_batch(await self._session(), batch, failure, archive=archive)

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        return await groups.merge_group(await self._session(), batch, merged)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        return await schedules.register_schedules(await self._session(), queue, ids)

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        return await schedules.fire(await self._session(), fires)

    async def record(self, events: Sequence[FireEvent]) -> None:
        await schedules.record(await self._session(), events)

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        return await schedules.prune_schedules(await self._session(), queue, ids, before)

    # --- heartbeats -------------------------------------------------------------------------------

    async def beat(self, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
        await servers.beat(await self._session(), info, ttl)

    async def leave(self, info: ServerInfo | SchedulerInfo) -> None:
        await servers.leave(await self._session(), info)

    # --- cancellation -----------------------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        await self._session()
        await self._here.notifications.cancel(refs, archive=archive)

    def cancellations(self) -> AsyncIterator[Cancellation]:
        return self._here.notifications.cancellations()
