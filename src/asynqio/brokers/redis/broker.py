"""The Broker half of the Redis broker: life cycle and delegation. Each operation is a module in `operations/`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Self

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
from asynqio.brokers.redis.inspection import RedisInspection
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
from asynqio.brokers.redis.operations.leases import LeaseRepair, accepts_writes, expired, renew, renew_owner
from asynqio.brokers.redis.operations.notifications import Notifications
from asynqio.brokers.redis.producer import RedisProducer
from asynqio.brokers.redis.session import Session
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
from asynqio.errors import BrokerUnavailable, ServerStateError


def open_redis(url: str, clock: Clock | None = None) -> RedisBroker:
    """Make the broker of a Redis URL; entering it connects. Raises ConfigError."""
    return RedisBroker(parse(url), clock)


class RedisBroker(RedisInspection):
    """A `Store` on Redis, in the layout of Go asynq.

    It belongs to the event loop that entered it first; other loops use a clone. It inherits the Inspection half
    because one object must satisfy both protocols.
    """

    shared = True

    def __init__(self, settings: RedisSettings, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._settings = settings
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._reset()

    def _reset(self) -> None:
        self._current = Session(self._settings, self.clock)
        self._notifications = Notifications(self._current)
        self._lease_repair = LeaseRepair()

    @property
    def _session(self) -> Session:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise self._wrong_loop()
        return self._current

    def _wrong_loop(self) -> ServerStateError:
        return ServerStateError(
            f"the broker {self.url} is open in another event loop: use broker.clone(), or the URL, in this one"
        )

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
        return self._current.round_trip

    def clone(self) -> RedisBroker:
        return RedisBroker(self._settings, self.clock)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._users and self._loop is not loop:
            raise self._wrong_loop()
        async with self._opening:
            if not self._users:
                self._loop = loop
                try:
                    await self._session.open()
                except BaseException:
                    self._loop = None
                    raise
            self._users += 1
        return self

    async def __aexit__(self, *exc: object) -> None:
        async with self._opening:
            self._users -= 1
            if self._users:
                return
            await self._notifications.close()
            await self._session.background.wait()
            await self._session.redis.close()
            self._loop = None
            self._reset()

    async def ping(self) -> None:
        await self._session.redis.command(None, "PING")

    def watch(self, topics: Iterable[Topic]) -> Watch:
        if not self._users:
            raise BrokerUnavailable(f"{self.url} is not open: use the broker in `async with broker: ...`")
        return self._notifications.watch(topics)

    # --- enqueueing -------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        self._current.keys(entry.message.queue)

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        if len(entries) == 1:
            return [await enqueue.enqueue_one(self._session, entries[0])]
        return await enqueue.enqueue(self._session, entries)

    def producer(self, run: RunOnLoop) -> RedisProducer | None:
        if self._settings.kind == "cluster":
            return None  # the event loop knows where each queue is
        return RedisProducer(self._settings, self.clock, self._session_here, run)

    async def _session_here(self) -> Session:
        return self._session

    # --- dequeueing, leases, settling -------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        leases = await dequeue.dequeue(self._session, queues, limit, lease, owner, timed)
        self._notifications.dequeued(leases)
        return leases

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        return await stats.paused_types(self._session, queues)

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        return await renew(self._session, leases, lease)

    async def renew_owner(self, owner: str, lease: float) -> int:
        return await renew_owner(self._session, owner, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await settle.settle(self._session, settlements)

    async def write_output(self, outputs: Sequence[Output]) -> list[bool]:
        return await output.write_output(self._session, outputs)

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        return await attempts.attempts(self._session, refs)

    # --- background duties ------------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        return await forward.forward(self._session, queues, limit)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        return await expired(self._session, queues, limit)

    async def accepts_writes(self, queues: Sequence[str]) -> list[bool]:
        return await accepts_writes(self._session, queues)

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        return await sweep.sweep(self._session, self._lease_repair, queues, limit)

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        return await groups.claim_groups(self._session, queues, policy, limit)

    async def renew_batches(self, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
        return await groups.renew_batches(self._session, batches, lease)

    async def return_batch(
        self, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
    ) -> bool:
        return await groups.return_batch(self._session, batch, failure, archive=archive)

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        return await groups.merge_group(self._session, batch, merged)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        return await schedules.register_schedules(self._session, queue, ids)

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        return await schedules.fire(self._session, fires)

    async def record(self, events: Sequence[FireEvent]) -> None:
        await schedules.record(self._session, events)

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        return await schedules.prune_schedules(self._session, queue, ids, before)

    # --- heartbeats -------------------------------------------------------------------------------

    async def beat(self, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
        await servers.beat(self._session, info, ttl)

    async def leave(self, info: ServerInfo | SchedulerInfo) -> None:
        await servers.leave(self._session, info)

    # --- cancellation -----------------------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        await self._notifications.cancel(refs, archive=archive)

    def cancellations(self) -> AsyncIterator[Cancellation]:
        return self._notifications.cancellations()
