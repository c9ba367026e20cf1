"""`sqlite://`: the whole contract on one file. Each method is one step, done by the session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Self
from urllib.parse import SplitResult

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
from asynqio.brokers.sqlite.admin import actions as tidy
from asynqio.brokers.sqlite.admin import stats as look
from asynqio.brokers.sqlite.inspection import SqliteInspection
from asynqio.brokers.sqlite.operations import enqueue as intake
from asynqio.brokers.sqlite.operations import groups as gather
from asynqio.brokers.sqlite.operations import maintenance as times
from asynqio.brokers.sqlite.operations import schedules
from asynqio.brokers.sqlite.operations import servers as presence
from asynqio.brokers.sqlite.operations import settle as work
from asynqio.brokers.sqlite.settings import parse
from asynqio.brokers.sqlite.storage.session import Session
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.clock import Clock, SystemClock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.records import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry

#: Most entries taken in by one transaction, so that nobody else waits long (about 20 ms).
ENTRIES_TOGETHER = 1_000


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
        await self._session.read(_look)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        return self._session.watch(topics)

    # --- tasks in ---------------------------------------------------------------------------------

    def check(self, entry: Entry) -> None:
        return None

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        answers: list[Admission | Replaced] = []
        for start in range(0, len(entries), ENTRIES_TOGETHER):
            some = entries[start : start + ENTRIES_TOGETHER]
            step = partial(intake.enqueue, entries=some, settings=self._session.settings)
            answers += await self._session.write(step)
        return answers

    # --- tasks out --------------------------------------------------------------------------------

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        step = partial(work.dequeue, queues=tuple(queues), limit=limit, lease=lease, owner=owner)
        return await self._session.write(step, undo=work.hand_back)

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        return await self._session.read(partial(look.paused_types, queues=tuple(queues)))

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        renewed = await self._session.write(partial(work.renew, leases=leases, lease=lease))
        for held, expires_at in zip(leases, renewed, strict=True):
            if expires_at is not None:
                held.expires_at = expires_at
        return [expires_at is not None for expires_at in renewed]

    async def renew_owner(self, owner: str, lease: float) -> int:
        return await self._session.write(partial(work.renew_owner, owner=owner, lease=lease))

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        return await self._session.write(partial(work.settle, settlements=settlements))

    async def write_output(self, notes: Sequence[Output]) -> list[bool]:
        return await self._session.write(partial(work.write_output, notes=notes))

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        return await self._session.read(partial(look.attempts, refs=refs))

    # --- what time does to tasks ------------------------------------------------------------------

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        return await self._session.write(partial(times.forward, queues=tuple(queues), limit=limit))

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        found = await self._session.read(partial(times.lapsed, queues=tuple(queues), limit=limit))
        if found.corrupt:
            await self._session.write(partial(times.quarantine_lapsed, rows=found.corrupt))
        return found.expired

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        return await self._session.write(partial(times.sweep, queues=tuple(queues), limit=limit))

    # --- groups -----------------------------------------------------------------------------------

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        step = partial(gather.claim_groups, queues=tuple(queues), policy=policy, limit=limit)
        return await self._session.write(step, undo=gather.release)

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        step = partial(gather.merge_group, batch=batch, merged=merged, settings=self._session.settings)
        return await self._session.write(step)

    # --- schedules --------------------------------------------------------------------------------

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        return await self._session.write(partial(schedules.register_schedules, queue=queue, ids=tuple(ids)))

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        answers: list[Fired] = []
        for start in range(0, len(fires), ENTRIES_TOGETHER):
            some = fires[start : start + ENTRIES_TOGETHER]
            step = partial(schedules.fire, fires=some, settings=self._session.settings)
            answers += await self._session.write(step)
        return answers

    async def record(self, events: Sequence[FireEvent]) -> None:
        await self._session.write(partial(schedules.record, events=tuple(events)))

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        step = partial(schedules.prune_schedules, queue=queue, ids=tuple(ids), before=before)
        return await self._session.write(step)

    # --- who is there -----------------------------------------------------------------------------

    async def beat(self, card: ServerInfo | SchedulerInfo, ttl: float) -> None:
        await self._session.write(partial(presence.beat, card=card, ttl=ttl))

    async def leave(self, card: ServerInfo | SchedulerInfo) -> None:
        await self._session.write(partial(presence.leave, card=card))

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        await self._session.write(partial(tidy.cancel, refs=refs, archive=archive))

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        with self.watch([("cancel",)]) as watch:
            # Asked of the writer, so that it comes before any cancellation that is asked for after it.
            last = await self._session.write(_last)
            while True:
                for number, queue, id, archive in await self._session.read(partial(_cancels, since=last)):
                    last = number
                    yield Cancellation(TaskRef(queue, id), bool(archive))
                await watch.wait()


def _look(transaction: Transaction) -> None:
    transaction.value(SQL.last_number)


def _last(transaction: Transaction) -> int:
    return int(transaction.value(SQL.last_number))


def _cancels(transaction: Transaction, since: int) -> list[tuple[int, str, str, int]]:
    return transaction.all(SQL.cancels_since, seq=since)
