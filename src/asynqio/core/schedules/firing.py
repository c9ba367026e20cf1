"""What a scheduler and a store say to each other about schedules."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from asynqio.core.task.task import Entry

#: Headers of a task that a schedule has put in: the id of the schedule, and the tick in epoch seconds. One that
#: was triggered by hand has no tick.
SCHEDULE_HEADER, TICK_HEADER = "asynqio-schedule", "asynqio-tick"


class Fire(msgspec.Struct, frozen=True):
    """A schedule of the queue of `entry` wants this task for this tick."""

    schedule_id: str
    #: The time at which it fires, in whole seconds since the epoch.
    tick: float
    entry: Entry


class ScheduleState(NamedTuple):
    """What a store knows of one schedule of one queue. Moments are epoch seconds."""

    #: The last tick that was taken; None: none was.
    last: float | None = None
    paused: bool = False
    #: No tick up to then is made up: since when it is known, or since when it is no longer paused.
    since: float = 0.0
    #: When a scheduler was last there to serve it.
    seen_at: float = 0.0

    @property
    def after(self) -> float:
        """Up to when nothing is to be made up."""
        return max(self.since, self.last or 0.0)


class FireEvent(msgspec.Struct, frozen=True):
    """A schedule has put a task in."""

    schedule_id: str
    task_id: str
    #: When that was.
    at: float
