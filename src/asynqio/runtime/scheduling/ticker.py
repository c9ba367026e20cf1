"""Fires schedules: at each tick it asks the store to put their tasks in. Any number of schedulers may run.

There is no leader. All schedulers compute the same ticks, and the store takes each of them once: who asks second is
told so. When one dies, the others have been firing all along.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from asynqio.brokers.contract.broker import Broker, Store
from asynqio.brokers.contract.inspection import Inspection
from asynqio.brokers.contract.limits import FIRES_AGE
from asynqio.brokers.contract.results import Admission, Fired, Replaced
from asynqio.core.info import SchedulerInfo
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.schedules.misfire import Due
from asynqio.core.schedules.records import Fire, FireEvent
from asynqio.core.task.message import TaskInfo
from asynqio.core.task.options import TaskOptions
from asynqio.core.task.task import Entry, Task
from asynqio.errors import (
    AsynqioError,
    BrokerError,
    DuplicateTask,
    EnqueueError,
    EntryNotFound,
    TaskIdConflict,
)
from asynqio.runtime.leases.heartbeat import CARD_INTERVAL, CARDS_MISSED, host_name
from asynqio.runtime.scheduling.plan import Plan, Terms
from asynqio.runtime.service import Service

log = logging.getLogger("asynqio.scheduler")

#: Seconds after which it looks at the clock again at the latest: somebody may have set it.
LOOK = 1.0
#: Seconds between two times that it tells the store which schedules it serves.
MEET_INTERVAL = 6 * 3600.0
#: Seconds that a queue which failed rests, while others are fired.
AWAY = 1.0

#: Told before a task is put in: `(task, options)`; may be async.
PreEnqueue = Callable[[Task, TaskOptions], Any]
#: Told what came of it: `(schedule id, task or error)`; may be async.
PostEnqueue = Callable[[str, "TaskInfo | EnqueueError"], Any]


class Hooks(NamedTuple):
    """The application's own functions."""

    pre: PreEnqueue | None = None
    post: PostEnqueue | None = None


class Ticker(Service):
    """Sleeps until the next tick of any entry, and fires what is due, in one call per queue."""

    name = "scheduler"

    def __init__(self, broker: Store, terms: Terms, hooks: Hooks) -> None:
        self._broker: Broker = broker
        self._inspection: Inspection = broker
        self._terms = terms
        self._hooks = hooks
        self._plans: dict[str, Plan] = {}
        self._changed = asyncio.Event()
        self._host = host_name()
        self.id = f"{self._host}:{os.getpid()}:{uuid.uuid4()}"
        self._started_at = broker.clock.now()
        self._beat_at = self._meet_at = 0.0
        self._shown = False
        #: Queues that failed, and until when they rest (monotonic time).
        self._away: dict[str, float] = {}
        self._warned: set[str] = set()

    # --- entries ----------------------------------------------------------------------------------

    async def plan(self, entries: Iterable[ScheduleEntry]) -> list[Plan | AsynqioError]:
        """Entries to be served, each read and checked; what is wrong with one is in its place."""

        def read(entry: ScheduleEntry) -> Plan | AsynqioError:
            try:
                return Plan(entry, self._terms, self._broker)
            except AsynqioError as error:
                return error

        return await asyncio.to_thread(lambda: [read(entry) for entry in entries])

    async def serve(self, plans: Sequence[Plan]) -> None:
        """From now on. One of the same id is replaced, and goes on from where it was. Raises BrokerError."""
        for queue, some in _by_queue(plans).items():
            await self._meet(queue, some)
        self._plans.update((plan.id, plan) for plan in plans)
        await self._show()

    async def drop(self, ids: Iterable[str]) -> None:
        """Serve these no longer. Raises EntryNotFound."""
        for id in ids:
            if id not in self._plans:
                raise EntryNotFound(id)
            del self._plans[id]
        await self._show()

    def serves(self, id: str) -> bool:
        return id in self._plans

    def card(self) -> SchedulerInfo:
        """What the scheduler says of itself now."""
        entries = [plan.card() for plan in self._plans.values()]
        return SchedulerInfo(self.id, self._host, os.getpid(), self._started_at, entries)

    async def _show(self) -> None:
        """Something has changed: the loop looks for its next tick, and everybody sees it."""
        self._changed.set()
        if self._shown:
            self._beat_at = 0.0  # if this one fails, the loop tries again
            with contextlib.suppress(BrokerError):
                await self._beat()

    # --- the loop ---------------------------------------------------------------------------------

    async def open(self) -> None:
        await self._beat()
        self._shown = True

    async def close(self) -> None:
        self._shown = False
        try:
            await self._broker.leave(self.card())
        except BrokerError as error:
            log.warning("the scheduler could not sign off: %s", error)

    async def once(self) -> float:
        self._changed.clear()
        now, steady = self._broker.clock.now(), self._broker.clock.monotonic()
        await self._each_queue(self._fire_queue, [plan for plan in self._plans.values() if plan.is_due(now)])
        if steady >= self._meet_at:
            await self._each_queue(self._meet_again, list(self._plans.values()))
            self._meet_at = steady + MEET_INTERVAL
        if steady >= self._beat_at:
            ahead = [plan for plan in self._plans.values() if plan.is_ahead(now)]
            await self._each_queue(self._meet, ahead)
            await self._beat()
        coming = [
            plan.next_at for plan in self._plans.values() if plan.next_at and plan.queue not in self._away
        ]
        if not coming:
            return LOOK
        # A timer may fire a hair early by this clock: a millisecond on top saves a useless look.
        return min(max(min(coming) - self._broker.clock.now(), 0.0) + 0.001, LOOK)

    async def rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _beat(self) -> None:
        await self._broker.beat(self.card(), CARD_INTERVAL * (1 + CARDS_MISSED))
        self._beat_at = self._broker.clock.monotonic() + CARD_INTERVAL

    # --- one queue after the other ----------------------------------------------------------------

    async def _each_queue(
        self, work: Callable[[str, list[Plan]], Awaitable[None]], plans: Sequence[Plan]
    ) -> None:
        """Do this for the plans of each queue, all at once. A queue that fails, because its master is away or
        because it is damaged, costs the others nothing: it rests for a second."""
        steady = self._broker.clock.monotonic()
        resting = {queue for queue, until in self._away.items() if until > steady}
        calls = {queue: some for queue, some in _by_queue(plans).items() if queue not in resting}
        answers = await asyncio.gather(
            *(work(queue, some) for queue, some in calls.items()), return_exceptions=True
        )
        for queue, answer in zip(calls, answers, strict=True):
            if isinstance(answer, BrokerError):
                if queue not in self._away:
                    log.warning("schedules of queue %r rest until it answers again: %s", queue, answer)
                self._away[queue] = steady + AWAY
            elif isinstance(answer, BaseException):
                raise answer
            elif self._away.pop(queue, None) is not None:
                log.info("schedules of queue %r are fired again", queue)

    async def _meet(self, queue: str, plans: list[Plan]) -> None:
        """Go on from where the store is."""
        schedule_states = await self._broker.register_schedules(queue, [plan.id for plan in plans])
        now = self._broker.clock.now()
        for plan, standing in zip(plans, schedule_states, strict=True):
            plan.learn(standing, now)
            if plan.is_ahead(now) and plan.id not in self._warned:
                # A clock is wrong, or was. To fire its ticks again could be to fire them twice.
                self._warned.add(plan.id)
                log.warning(
                    "schedule %r: its last tick is %.0f s in the future, so a clock is or was wrong; it fires "
                    "again from then on, or after `asynqio cron reset`",
                    plan.id,
                    plan.done_until - now,
                )

    async def _meet_again(self, queue: str, plans: list[Plan]) -> None:
        """Say which schedules are served, and have those forgotten that nobody serves any more."""
        await self._broker.register_schedules(queue, [plan.id for plan in plans])
        cutoff = self._broker.clock.now() - FIRES_AGE
        schedule_states = await self._inspection.schedule_states(queue)
        gone = [id for id, known in schedule_states.items() if known.met_at <= cutoff and not known.paused]
        await self._broker.prune_schedules(queue, gone, cutoff)

    # --- firing -----------------------------------------------------------------------------------

    async def _fire_queue(self, queue: str, plans: list[Plan]) -> None:
        """Fire what is due in one queue, in one call. What is not answered for stays due. Raises BrokerError."""
        now = self._broker.clock.now()
        if late := [plan for plan in plans if plan.is_late(now)]:
            await self._meet(queue, late)  # somebody else may have been there
            decided = await asyncio.to_thread(lambda: [(plan, plan.due(now)) for plan in late])
            for plan, ticks in decided:
                self._tell_missed(plan, ticks)
            decided += [(plan, plan.due(now)) for plan in plans if plan not in late]
        else:
            decided = [(plan, plan.due(now)) for plan in plans]
        wanted: list[tuple[Plan, Fire]] = []
        for plan, ticks in decided:
            for tick in ticks.ticks:
                if (entry := await self._entry(plan, tick, now)) is not None:
                    wanted.append((plan, Fire(plan.id, tick, entry)))
        answers = await self._broker.fire([fire for _, fire in wanted]) if wanted else []
        for plan, _ in decided:
            plan.done(max(now, plan.done_until))
        await self._settle(wanted, answers, now)

    async def _settle(
        self, wanted: Sequence[tuple[Plan, Fire]], answers: Sequence[Fired], now: float
    ) -> None:
        """Output what came of the ticks."""
        events = []
        for (plan, fire), fired in zip(wanted, answers, strict=True):
            plan.paused = fired.paused
            if not fired.paused:
                plan.prev_at = fire.tick
            if fired.admission is Admission.ACCEPTED:
                events.append(FireEvent(plan.id, fire.entry.message.id, now))
            elif isinstance(fired.admission, Replaced):
                events.append(FireEvent(plan.id, fired.admission.id, now))
            await self._tell(plan, fire.entry, fired, now)
        try:
            if events:
                await self._broker.record(events)
        except BrokerError as error:
            log.warning("the events of %d schedules could not be recorded: %s", len(events), error)

    def _tell_missed(self, plan: Plan, ticks: Due) -> None:
        if ticks.missed is not None:
            log.warning(
                "schedule %r: its tick at %d was missed, perhaps more; fired now: %d (missed=%s)",
                plan.id,
                ticks.missed,
                len(ticks.ticks),
                plan.entry.missed,
            )

    async def _entry(self, plan: Plan, tick: float, now: float) -> Entry | None:
        """The task of a tick; None if it cannot be one any more, such as one whose deadline is over."""
        await self._call(self._hooks.pre, plan.entry.task, plan.options)
        try:
            return plan.task(tick, now)
        except EnqueueError as error:
            log.error("schedule %r cannot put its task in: %s", plan.id, error)
            await self._call(self._hooks.post, plan.id, error)
            return None

    async def _tell(self, plan: Plan, entry: Entry, fired: Fired, now: float) -> None:
        """Tell the application what came of a tick, unless it was another scheduler's."""
        message = entry.message
        outcome: TaskInfo | EnqueueError
        if fired.admission is Admission.ACCEPTED:
            outcome = TaskInfo.of(message, entry.state, next_process_at=entry.process_at or now)
        elif isinstance(fired.admission, Replaced):
            changed = msgspec.structs.replace(message, id=fired.admission.id)
            outcome = TaskInfo.of(changed, entry.state, next_process_at=entry.process_at or now)
        elif fired.admission is Admission.DUPLICATE:
            outcome = DuplicateTask(message.queue, message.type)
        elif fired.admission is Admission.ID_CONFLICT:
            outcome = TaskIdConflict(message.queue, message.id)
        else:
            return
        if isinstance(outcome, EnqueueError):
            log.info("schedule %r: %s", plan.id, outcome)
        await self._call(self._hooks.post, plan.id, outcome)

    async def _call(self, hook: Callable[..., Any] | None, *values: object) -> None:
        """A hook that fails costs no tick."""
        if hook is None:
            return
        try:
            answer = hook(*values)
            if inspect.isawaitable(answer):
                await _wait(answer)
        except Exception:
            log.exception("a hook of the scheduler failed")


async def _wait(answer: Awaitable[Any]) -> None:
    await answer


def _by_queue(plans: Iterable[Plan]) -> dict[str, list[Plan]]:
    found: dict[str, list[Plan]] = {}
    for plan in plans:
        found.setdefault(plan.queue, []).append(plan)
    return found
