"""Values that schedulers and brokers exchange when a schedule fires."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from asynqio.core.task.task import Entry

#: Headers of a task that a schedule has enqueued: the id of the schedule, and the tick in epoch seconds. A manually
#: triggered task has no tick.
SCHEDULE_HEADER, TICK_HEADER = "asynqio-schedule", "asynqio-tick"


class Fire(msgspec.Struct, frozen=True):
    """Enqueue `entry` for one tick of a schedule of its queue."""

    schedule_id: str
    #: Whole epoch seconds.
    tick: float
    entry: Entry


class ScheduleState(NamedTuple):
    """The stored state of one schedule of one queue. Times are epoch seconds."""

    #: The last fired tick; None if none has fired.
    last: float | None = None
    paused: bool = False
    #: When it was registered or last resumed. Ticks up to then are not fired late.
    since: float = 0.0
    #: When a scheduler last registered it.
    seen_at: float = 0.0

    @property
    def after(self) -> float:
        """Only ticks after this time can be due."""
        return max(self.since, self.last or 0.0)


class FireEvent(msgspec.Struct, frozen=True):
    """A schedule has enqueued a task."""

    schedule_id: str
    task_id: str
    #: When, in epoch seconds.
    at: float
