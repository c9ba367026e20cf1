"""Fires schedules: asks the store to enqueue a task at each tick. Any number of schedulers may run.

There is no leader. All schedulers compute the same ticks, and the store accepts each of them once; the second request
learns that it was late. When a scheduler dies, the others have been firing all along.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import uuid
from collections.abc import Iterable, Sequence

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.broker import Broker, Store
from asynqio.brokers.contract.inspection import Inspection
from asynqio.brokers.contract.limits import FIRES_AGE
from asynqio.brokers.contract.results import Admission, Fired, Replaced
from asynqio.core.info import SchedulerInfo
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.schedules.misfire import Due
from asynqio.core.task.task import Entry
from asynqio.errors import AsynqioError, BrokerError, EnqueueError, EntryNotFound
from asynqio.runtime.leases.heartbeat import INFO_INTERVAL, INFO_TTL, host_name
from asynqio.runtime.scheduling.hooks import Hooks, outcome_of
from asynqio.runtime.scheduling.plan import Plan, Terms
from asynqio.runtime.scheduling.queues import QueueIsolation, by_queue, parts
from asynqio.runtime.service import Service

log = logging.getLogger("asynqio.scheduler")

#: Longest sleep in seconds: the clock may have been set meanwhile.
MAX_REST = 1.0
#: Seconds between two registrations of the served schedules.
REGISTER_INTERVAL = 6 * 3600.0
#: Plans whose next ticks are computed on the event loop; more are computed in a thread.
INLINE = 20
#: Up to this number of entries, each change is published at once. A publication names all entries, so with more of
#: them, changes are published after at most CHANGE_INTERVAL seconds, together.
PUBLISHED_AT_ONCE = 100
CHANGE_INTERVAL = 1.0


class Ticker(Service):
    """Sleeps until the next tick of any entry, and fires the ticks that are due, in one call per queue."""

    name = "scheduler"

    def __init__(self, broker: Store, terms: Terms, hooks: Hooks) -> None:
        self._broker: Broker = broker
        self._inspection: Inspection = broker
        self._terms = terms
        self._hooks = hooks
        self._queues = QueueIsolation(broker.clock)
        self._plans: dict[str, Plan] = {}
        self._changed = asyncio.Event()
        #: When the loop runs next at the latest; infinite while it runs, so that a new entry makes it run again.
        self._wakes_at = math.inf
        self._host = host_name()
        self.id = f"{self._host}:{os.getpid()}:{uuid.uuid4()}"
        self._started_at = broker.clock.now()
        self._publish_at = self._register_at = 0.0
        self._published_at = -CHANGE_INTERVAL
        self._published = False
        self._warned: set[str] = set()

    # --- entries ----------------------------------------------------------------------------------

    async def plan(self, entries: Iterable[ScheduleEntry]) -> list[Plan | AsynqioError]:
        """Parse and check entries. The answer has one plan per entry, or the error in its place."""

        def read(entry: ScheduleEntry) -> Plan | AsynqioError:
            try:
                return Plan(entry, self._terms, self._broker)
            except AsynqioError as error:
                return error

        return await run_blocking(lambda: [read(entry) for entry in entries])

    async def serve(self, plans: Sequence[Plan]) -> None:
        """Serve these from now on. One with a known id replaces the old one and continues from its state. Raises
        BrokerError."""
        for queue, some in by_queue(plans).items():
            await self._resume(queue, some)
        self._plans.update((plan.id, plan) for plan in plans)
        if any(plan.next_at is not None and plan.next_at < self._wakes_at for plan in plans):
            self._changed.set()
        await self._publish_change()

    async def remove(self, ids: Iterable[str]) -> None:
        """Serve these no longer. Raises EntryNotFound."""
        for id in ids:
            if id not in self._plans:
                raise EntryNotFound(id)
            del self._plans[id]
        await self._publish_change()

    def serves(self, id: str) -> bool:
        """Whether this entry is served."""
        return id in self._plans

    @property
    def size(self) -> int:
        """The number of entries."""
        return len(self._plans)

    def info(self) -> SchedulerInfo:
        """What the scheduler publishes of itself now."""
        entries = [plan.info() for plan in self._plans.values()]
        return SchedulerInfo(self.id, self._host, os.getpid(), self._started_at, entries)

    async def _publish_change(self) -> None:
        """Publish a change: now, or with the changes of the next second."""
        if self._published:
            # If this call fails, the loop repeats it.
            soon = self._published_at + (CHANGE_INTERVAL if self.size > PUBLISHED_AT_ONCE else 0.0)
            self._publish_at = min(self._publish_at, soon)
            if self._broker.clock.monotonic() >= self._publish_at:
                with contextlib.suppress(BrokerError):
                    await self._publish()

    # --- the loop ---------------------------------------------------------------------------------

    async def open(self) -> None:
        await self._publish()
        self._published = True

    async def close(self) -> None:
        self._published = False
        try:
            await self._broker.leave(self.info())
        except BrokerError as error:
            log.warning(
                "the scheduler could not withdraw its info: %s",
                error,
                extra={"event": "scheduler_info_left", "error": str(error), "scheduler_id": self.id},
            )

    async def once(self) -> float:
        self._changed.clear()
        self._wakes_at = math.inf
        now, steady = self._broker.clock.now(), self._broker.clock.monotonic()
        await self._queues.run(self._fire_queue, [plan for plan in self._plans.values() if plan.is_due(now)])
        if steady >= self._register_at:
            await self._queues.run(self._register, list(self._plans.values()))
            self._register_at = steady + REGISTER_INTERVAL
        if steady >= self._publish_at:
            ahead = [plan for plan in self._plans.values() if plan.is_ahead(now)]
            await self._queues.run(self._resume, ahead)
            await self._publish()
        coming = [
            plan.next_at
            for plan in self._plans.values()
            if plan.next_at and not self._queues.failed(plan.queue)
        ]
        # A timer may fire slightly early by this clock: one more millisecond saves a useless run.
        now, steady = self._broker.clock.now(), self._broker.clock.monotonic()
        rest = max(min(coming, default=math.inf) - now, 0.0) + 0.001
        rest = min(rest, max(self._publish_at - steady, 0.0) + 0.001, MAX_REST)
        self._wakes_at = now + rest
        return rest

    async def rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _publish(self) -> None:
        # Before the call: a change during it is published soon after.
        self._published_at = self._broker.clock.monotonic()
        self._publish_at = self._published_at + INFO_INTERVAL
        try:
            await self._broker.beat(self.info(), INFO_TTL)
        except BaseException:
            self._publish_at = self._published_at
            raise

    # --- state in the store -----------------------------------------------------------------------

    async def _resume(self, queue: str, plans: Sequence[Plan]) -> None:
        """Register schedules and continue from their state in the store."""
        for part in parts(plans):
            states = await self._broker.register_schedules(queue, [plan.id for plan in part])
            await self._continue(queue, list(zip(part, states, strict=True)))

    async def _continue(self, queue: str, states: Sequence[tuple[Plan, ScheduleState]]) -> None:
        now = self._broker.clock.now()

        def resume() -> None:
            for plan, state in states:
                plan.resume(state, now)

        # Computing the next tick of a plan takes up to 0.1 ms.
        if len(states) > INLINE:
            await run_blocking(resume)
        else:
            resume()
        for plan, _ in states:
            if plan.is_ahead(now) and plan.id not in self._warned:
                # A clock is or was wrong. Firing its ticks again could mean firing them twice.
                self._warned.add(plan.id)
                seconds = plan.done_until - now
                log.warning(
                    "schedule %r: its last tick is %.0f s in the future, so a clock is or was wrong; it fires again "
                    "after that moment, or after `asynqio cron reset`",
                    plan.id,
                    seconds,
                    extra={
                        "event": "schedule_ahead",
                        "schedule_id": plan.id,
                        "queue": queue,
                        "seconds": round(seconds, 3),
                    },
                )

    async def _register(self, queue: str, plans: list[Plan]) -> None:
        """Register the served schedules, and prune those that no scheduler serves any more."""
        for part in parts(plans):
            await self._broker.register_schedules(queue, [plan.id for plan in part])
        cutoff = self._broker.clock.now() - FIRES_AGE
        states = await self._inspection.schedule_states(queue)
        unserved = [id for id, state in states.items() if state.seen_at <= cutoff and not state.paused]
        await self._broker.prune_schedules(queue, unserved, cutoff)

    # --- firing -----------------------------------------------------------------------------------

    async def _fire_queue(self, queue: str, plans: list[Plan]) -> None:
        """Fire what is due in one queue, in one call for each PART. Ticks without an answer stay due. Raises
        BrokerError."""
        for part in parts(plans):
            await self._fire_part(queue, part)

    async def _fire_part(self, queue: str, plans: Sequence[Plan]) -> None:
        now = self._broker.clock.now()
        if late := [plan for plan in plans if plan.is_late(now)]:
            await self._resume(queue, late)  # another scheduler may have fired them
            decided = await run_blocking(lambda: [(plan, plan.due(now)) for plan in late])
            for plan, ticks in decided:
                _log_missed(plan, ticks)
            resumed = {plan.id for plan in late}
            decided += [(plan, plan.due(now)) for plan in plans if plan.id not in resumed]
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
        await self._record(wanted, answers, now)

    async def _entry(self, plan: Plan, tick: float, now: float) -> Entry | None:
        """The task of a tick; None if it is no longer valid, such as one whose deadline has passed."""
        await self._hooks.before(plan)
        try:
            return plan.task(tick, now)
        except EnqueueError as error:
            log.error(
                "schedule %r cannot enqueue its task: %s",
                plan.id,
                error,
                extra={"event": "schedule_failed", "schedule_id": plan.id, "error": str(error)},
            )
            await self._hooks.after(plan, error)
            return None

    async def _record(
        self, wanted: Sequence[tuple[Plan, Fire]], answers: Sequence[Fired], now: float
    ) -> None:
        """Record the outcome of the ticks, and call the hooks."""
        events = []
        for (plan, fire), fired in zip(wanted, answers, strict=True):
            plan.paused = fired.paused
            if not fired.paused:
                plan.prev_at = fire.tick
            if fired.admission is Admission.ACCEPTED:
                events.append(FireEvent(plan.id, fire.entry.message.id, now))
            elif isinstance(fired.admission, Replaced):
                events.append(FireEvent(plan.id, fired.admission.id, now))
            await self._report(plan, fire.entry, fired, now)
        try:
            if events:
                await self._broker.record(events)
        except BrokerError as error:
            log.warning(
                "the events of %d schedules could not be recorded: %s",
                len(events),
                error,
                extra={"event": "schedule_events_lost", "count": len(events), "error": str(error)},
            )

    async def _report(self, plan: Plan, entry: Entry, fired: Fired, now: float) -> None:
        """Report the outcome of a tick to the application, unless another scheduler fired it."""
        outcome = outcome_of(entry, fired, now)
        if outcome is None:
            return
        if isinstance(outcome, EnqueueError):
            log.info(
                "schedule %r: %s",
                plan.id,
                outcome,
                extra={"event": "tick_refused", "schedule_id": plan.id, "error": str(outcome)},
            )
        await self._hooks.after(plan, outcome)


def _log_missed(plan: Plan, ticks: Due) -> None:
    if ticks.missed is not None:
        log.warning(
            "schedule %r: its tick at %d was missed, perhaps more; fired now: %d (missed=%s)",
            plan.id,
            ticks.missed,
            len(ticks.ticks),
            plan.entry.missed,
            extra={
                "event": "tick_missed",
                "schedule_id": plan.id,
                "queue": plan.queue,
                "tick": ticks.missed,
                "count": len(ticks.ticks),
            },
        )
