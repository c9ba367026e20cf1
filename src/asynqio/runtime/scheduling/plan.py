"""One schedule entry while a scheduler serves it: its next tick, and the tasks that it enqueues."""

from __future__ import annotations

from dataclasses import dataclass

from asynqio.brokers.contract.broker import Broker
from asynqio.core.info import ScheduleInfo
from asynqio.core.schedules.cron import parse_schedule
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.schedules.firing import SCHEDULE_HEADER, TICK_HEADER, ScheduleState
from asynqio.core.schedules.go_options import option_texts
from asynqio.core.schedules.misfire import Due, due
from asynqio.core.schedules.next_time import Schedule
from asynqio.core.task.options import TaskOptions, merge
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Entry, make_entry


@dataclass(frozen=True)
class Terms:
    """Defaults for all entries of one scheduler."""

    #: The time zone of entries without one.
    zone: str = "UTC"
    #: Seconds that a tick may be late and still count as on time.
    grace: float = 10.0
    max_payload: int = DEFAULT_MAX_PAYLOAD
    #: Options that entries and their tasks replace.
    defaults: TaskOptions | None = None


class Plan:
    """An entry and its progress."""

    def __init__(self, entry: ScheduleEntry, terms: Terms, broker: Broker) -> None:
        """Parses the spec and reads its time zone from disk, so do not call it on an event loop. Raises
        InvalidSchedule, InvalidTask."""
        self.entry = entry
        self.terms = terms
        self.zone = entry.zone or terms.zone
        self.schedule: Schedule = parse_schedule(entry.spec, self.zone)
        self.options = merge(terms.defaults or {}, entry.options)
        now = broker.clock.now()
        self.id = entry.id
        first = self.task(now, now)
        broker.check(first)
        self.queue = first.message.queue
        self.texts = option_texts(self.options)
        #: Ticks up to this moment are done.
        self.done_until = 0.0
        self.next_at = self.schedule.next(now, aligned=True)
        self.prev_at: float | None = None
        self.paused = False
        self._info: ScheduleInfo | None = None

    def task(self, tick: float, now: float) -> Entry:
        """The task of one tick. Raises InvalidTask."""
        headers = {SCHEDULE_HEADER: self.id, TICK_HEADER: f"{tick:.0f}"}
        options = merge(self.options, {"headers": headers})
        return make_entry(self.entry.task, options, now, max_payload=self.terms.max_payload)

    def resume(self, state: ScheduleState, now: float) -> None:
        """Continue from the state in the store. A `since` in the future (a wrong clock) counts as now."""
        self.paused = state.paused
        self.prev_at = state.last
        known = now if state.paused else min(state.since, now)
        own = self.done_until if self.done_until <= now else 0.0
        self.done(max(state.last or 0.0, known, own))

    def done(self, until: float) -> None:
        """Mark ticks up to `until` as done."""
        self.done_until = until
        self.next_at = self.schedule.next(until, aligned=True)

    def due(self, now: float) -> Due:
        """The ticks to fire now."""
        return due(self.schedule, self.done_until, now, missed=self.entry.missed, grace=self.terms.grace)

    def is_due(self, now: float) -> bool:
        """Whether its next tick has come."""
        return self.next_at is not None and self.next_at <= now

    def is_ahead(self, now: float) -> bool:
        """Whether its last tick is in the future."""
        return self.done_until > now + self.terms.grace

    def is_late(self, now: float) -> bool:
        """Whether it missed its next tick."""
        return self.next_at is not None and self.next_at < now - self.terms.grace

    def info(self) -> ScheduleInfo:
        """What schedulers publish of an entry: the same object until something of it changes."""
        known = self._info
        if known is not None and (known.next_at, known.prev_at, known.paused) == (
            self.next_at,
            self.prev_at,
            self.paused,
        ):
            return known
        self._info = ScheduleInfo(
            id=self.id,
            spec=self.entry.spec,
            zone=self.zone,
            queue=self.queue,
            type=self.entry.task.type,
            payload=self.entry.task.payload,
            options=self.texts,
            missed=self.entry.missed,
            next_at=self.next_at,
            prev_at=self.prev_at,
            paused=self.paused,
        )
        return self._info
