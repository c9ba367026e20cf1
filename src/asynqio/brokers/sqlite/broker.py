"""`sqlite://`: life cycle and the Broker half of the contract. Each method runs one step on the session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Self
from urllib.parse import SplitResult

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
from asynqio.brokers.sqlite.admin.stats import paused_types
from asynqio.brokers.sqlite.inspection import SqliteInspection
from asynqio.brokers.sqlite.operations import cancellations, groups, schedules, servers
from asynqio.brokers.sqlite.operations.attempts import attempts
from asynqio.brokers.sqlite.operations.dequeue import dequeue, return_leases
from asynqio.brokers.sqlite.operations.enqueue import enqueue
from asynqio.brokers.sqlite.operations.forward import forward
from asynqio.brokers.sqlite.operations.leases import expired_leases, quarantine_expired, renew, renew_owner
from asynqio.brokers.sqlite.operations.output import write_output
from asynqio.brokers.sqlite.operations.settle import settle
from asynqio.brokers.sqlite.operations.sweep import sweep
from asynqio.brokers.sqlite.pace import Pace, chunks
from asynqio.brokers.sqlite.producer import SqliteProducer
from asynqio.brokers.sqlite.session import Session
from asynqio.brokers.sqlite.settings import parse
from asynqio.clock import Clock, SystemClock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupFailure, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry
from asynqio.errors import BrokerRefused, BrokerUnavailable

#: Most entries enqueued by one transaction, so that other processes wait only for a moment (about 20 ms).
ENQUEUE_BATCH_SIZE = 1_000


def open_sqlite(parts: SplitResult, clock: Clock | None = None) -> SqliteBroker:
    """The broker of a `sqlite://` URL. Raises ConfigError."""
    return SqliteBroker(Session(parse(parts), clock or SystemClock()))


class SqliteBroker(SqliteInspection):
    """A `Store` in one file, for any number of processes on one machine."""

    shared = True
    round_trip = 0.0

    def __init__(self, session: Session) -> None:
        self._session = session
        self.clock: Clock = session.clock

    @property
    def url(self) -> str:
        return self._session.settings.url

    @property
    def archive_limit(self) -> int:
        return self._session.settings.archive_limit

    @property
    def private_url(self) -> str:
        return self.url

    def clone(self) -> SqliteBroker:
        return SqliteBroker(self._session)

    async def __aenter__(self) -> Self:
        await self._session.enter()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.leave()

    async def ping(self) -> None:
        await self._session.read(cancellations.last_number)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._session.watch(topics)

    # --- enqueue ----------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        return None

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        answers: list[Admission | Replaced] = []
        for start in range(0, len(entries), ENQUEUE_BATCH_SIZE):
            some = entries[start : start + ENQUEUE_BATCH_SIZE]
            step = partial(enqueue, entries=some, settings=self._session.settings)
            answers += await self._session.write(step)
        return answers

    def producer(self, run: RunOnLoop) -> SqliteProducer:
        return SqliteProducer(self._session)

    # --- dequeue, leases, settle ------------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        step = partial(dequeue, queues=tuple(queues), limit=limit, lease=lease, owner=owner)
        return await self._session.write(step, undo=return_leases)

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        return await self._session.read(partial(paused_types, queues=tuple(queues)))

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        renewed = await self._session.write(partial(renew, leases=leases, lease=lease))
        for held, expires_at in zip(leases, renewed, strict=True):
            if expires_at is not None:
                held.expires_at = expires_at
        return [expires_at is not None for expires_at in renewed]

    async def renew_owner(self, owner: str, lease: float) -> int:
        return await self._session.write(partial(renew_owner, owner=owner, lease=lease))

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._session.write(partial(settle, settlements=settlements))

    async def write_output(self, outputs: Sequence[Output]) -> list[bool]:
        return await self._session.write(partial(write_output, outputs=outputs))

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        return await self._session.read(partial(attempts, refs=refs))

    # --- maintenance ------------------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        return await forward(self._session, queues, limit)

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        step = partial(expired_leases, queues=tuple(queues), limit=limit)
        found = await self._session.read(step)
        if found.corrupt:
            await self._session.write(partial(quarantine_expired, rows=found.corrupt))
        return found.expired

    async def accepts_writes(self, queues: Sequence[str]) -> list[bool]:
        try:
            await self._session.write(lambda transaction: transaction.numbers(1))
        except (BrokerUnavailable, BrokerRefused):
            return [False] * len(queues)
        return [True] * len(queues)

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        return await sweep(self._session, queues, limit)

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        if policy.exact:
            return await self._claim_named(queues, policy, limit)
        step = partial(groups.claim_groups, queues=tuple(queues), policy=policy, limit=limit)
        return await self._session.write(step, undo=groups.return_batches)

    async def _claim_named(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        """Claim groups by name. Writes only if one is ripe."""
        found = await self._session.read(partial(groups.find_named, queues=tuple(queues), policy=policy))
        if not found.ripe:
            return Claimed([], found.next_at)
        step = partial(groups.claim_named, found=found, policy=policy, limit=limit)
        return await self._session.write(step, undo=groups.return_batches)

    async def renew_batches(self, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
        return await self._session.write(partial(groups.renew_batches, batches=batches, lease=lease))

    async def delete_batch(self, batch: GroupBatch) -> bool:
        return await self._session.write(partial(groups.delete_batch, batch=batch))

    async def return_batch(
        self, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
    ) -> bool:
        step = partial(groups.return_batch, batch=batch, failure=failure, archive=archive)
        return await self._session.write(step)

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        step = partial(groups.merge_group, batch=batch, merged=merged, settings=self._session.settings)
        return await self._session.write(step)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        states: list[ScheduleState] = []
        pace = Pace(self._session)
        for some in chunks(ids):
            states += await pace.write(schedules.register_schedules, queue, some)
        return states

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        answers: list[Fired] = []
        for start in range(0, len(fires), ENQUEUE_BATCH_SIZE):
            some = fires[start : start + ENQUEUE_BATCH_SIZE]
            step = partial(schedules.fire, fires=some, settings=self._session.settings)
            answers += await self._session.write(step)
        return answers

    async def record(self, events: Sequence[FireEvent]) -> None:
        pace = Pace(self._session)
        for some in chunks(events):
            await pace.write(schedules.record, some)

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        pace = Pace(self._session)
        for some in chunks(await self._session.read(schedules.silent_schedules), schedules.HISTORIES):
            await pace.write(schedules.purge_fires, some)
        pruned = 0
        for some in chunks(ids):
            pruned += await pace.write(schedules.prune_schedules, queue, some, before)
        return pruned

    # --- servers ----------------------------------------------------------------------------------

    async def beat(self, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
        await self._session.write(partial(servers.beat, info=info, ttl=ttl))

    async def leave(self, info: ServerInfo | SchedulerInfo) -> None:
        await self._session.write(partial(servers.leave, info=info))

    # --- cancellation of running tasks ------------------------------------------------------------

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        pace = Pace(self._session)
        for some in chunks(refs):
            await pace.write(cancellations.cancel, some, archive)

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        with self.watch([("cancel",)]) as watch:
            # Asked of the writer, so that any cancellation requested after this has a higher number.
            last = await self._session.write(cancellations.last_number)
            while True:
                step = partial(cancellations.cancellations_since, last=last)
                for number, cancellation in await self._session.read(step):
                    last = number
                    yield cancellation
                await watch.wait()
