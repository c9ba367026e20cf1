"""`redis://`: the whole contract on Redis, in the layout of Go asynq. Each method is one idea, done by the module
that bears its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Self

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
from asynqio.brokers.redis.admin import stats as look
from asynqio.brokers.redis.inspection import RedisInspection
from asynqio.brokers.redis.operations import attempts as history
from asynqio.brokers.redis.operations import dequeue as take
from asynqio.brokers.redis.operations import enqueue as intake
from asynqio.brokers.redis.operations import groups as gather
from asynqio.brokers.redis.operations import leases as keep
from asynqio.brokers.redis.operations import maintenance as times
from asynqio.brokers.redis.operations import schedulers, schedules, settle
from asynqio.brokers.redis.operations import servers as presence
from asynqio.brokers.redis.operations.notifications import Listener
from asynqio.brokers.redis.operations.quarantine import Repair
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.settings import RedisSettings, parse
from asynqio.clock import Clock, SystemClock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.records import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry
from asynqio.errors import BrokerUnavailable, ServerStateError


def open_redis(url: str, clock: Clock | None = None) -> RedisBroker:
    """The broker of a Redis URL. Raises ConfigError."""
    return RedisBroker(parse(url), clock)


class RedisBroker(RedisInspection):
    """A `Store` on Redis, shared with Go asynq. It belongs to the event loop that entered it first; other loops
    use a clone."""

    shared = True

    def __init__(self, settings: RedisSettings, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._settings = settings
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._renew_parts()

    def _renew_parts(self) -> None:
        self._parts = Session(self._settings, self.clock)
        self._listener = Listener(self._parts)
        self._repair = Repair()

    @property
    def _session(self) -> Session:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise self._elsewhere()
        return self._parts

    def _elsewhere(self) -> ServerStateError:
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
        return self._parts.round_trip

    def clone(self) -> RedisBroker:
        return RedisBroker(self._settings, self.clock)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._users and self._loop is not loop:
            raise self._elsewhere()
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
            await self._listener.close()
            await self._session.settled()
            await self._session.redis.close()
            self._loop = None
            self._renew_parts()

    async def ping(self) -> None:
        await self._session.redis.command(None, "PING")

    def watch(self, topics: Iterable[Topic]) -> Watch:
        if not self._users:
            raise BrokerUnavailable(f"{self.url} is not open: use the broker in `async with broker: ...`")
        return self._listener.watch(topics)

    # --- tasks in ---------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        self._parts.keys(entry.message.queue)

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        return await intake.enqueue(self._session, entries)

    # --- tasks out --------------------------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        return await take.dequeue(self._session, queues, limit, lease, owner, timed)

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        return await look.paused_types(self._session, queues)

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        return await keep.renew(self._session, leases, lease)

    async def renew_owner(self, owner: str, lease: float) -> int:
        return await keep.renew_owner(self._session, owner, lease)

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await settle.settle(self._session, settlements)

    async def write_output(self, notes: Sequence[Output]) -> list[bool]:
        return await keep.write_output(self._session, notes)

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        return await history.attempts(self._session, refs)

    # --- what time does to tasks ------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        return await times.forward(self._session, queues, limit)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        return await times.expired(self._session, queues, limit)

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        return await times.sweep(self._session, self._repair, queues, limit)

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        return await gather.claim_groups(self._session, queues, policy, limit)

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        return await gather.merge_group(self._session, batch, merged)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        return await schedules.register_schedules(self._session, queue, ids)

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        return await schedules.fire(self._session, fires)

    async def record(self, events: Sequence[FireEvent]) -> None:
        await schedules.record(self._session, events)

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        return await schedules.prune_schedules(self._session, queue, ids, before)

    # --- who is there -----------------------------------------------------------------------------

    async def beat(self, card: ServerInfo | SchedulerInfo, ttl: float) -> None:
        if isinstance(card, SchedulerInfo):
            await schedulers.beat(self._session, card, ttl)
        else:
            await presence.beat(self._session, card, ttl)

    async def leave(self, card: ServerInfo | SchedulerInfo) -> None:
        if isinstance(card, SchedulerInfo):
            await schedulers.leave(self._session, card)
        else:
            await presence.leave(self._session, card)

    # --- cancellation -----------------------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        await self._listener.cancel(refs, archive=archive)

    def cancellations(self) -> AsyncIterator[Cancellation]:
        return self._listener.cancellations()
