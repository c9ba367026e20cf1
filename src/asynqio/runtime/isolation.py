"""Isolates suspects: tasks that may be poison, because servers keep dying while they run.

When a task kills its server, its neighbours are in flight too and look as guilty. So of the tasks whose next crash
would archive them, one starts at a time, and for a while nothing new is fetched beside it: the poison dies alone, the
others get through.
"""

from __future__ import annotations

import asyncio
from random import Random

from asynqio.clock import Clock
from asynqio.core.task.message import TaskMessage
from asynqio.runtime.attempts.attempt import Attempt

#: Seconds that a suspect is deferred while another one runs.
SUSPECT_DELAY = 1.0
#: Seconds that a suspect has the server to itself: nothing is fetched that would die with it.
SUSPECT_ALONE = 10.0
#: Seconds for which other suspects wait for one that runs. Longer tasks would hold them up for hours; poison usually
#: kills soon.
SUSPECT_TURN = 60.0


class Isolation:
    """The suspect of one server. A task is suspect if its next crash reaches `max_crashes`."""

    def __init__(self, clock: Clock, random: Random, max_crashes: int) -> None:
        self._clock = clock
        self._random = random
        self._max_crashes = max_crashes
        #: The suspect that was started last.
        self.suspect: Attempt | None = None

    def suspects(self, message: TaskMessage) -> bool:
        """Whether this task may be poison."""
        return message.crashes > 0 and message.crashes >= self._max_crashes - 1

    @property
    def occupied(self) -> bool:
        """Whether other suspects must wait for the one that is running."""
        suspect = self.suspect
        return suspect is not None and not suspect.finished and self._time_left(suspect, SUSPECT_TURN) > 0

    def enter(self, attempt: Attempt) -> None:
        """Isolate an attempt that starts now."""
        self.suspect = attempt

    @property
    def active(self) -> bool:
        """Whether a suspect has the server to itself, so that nothing new should be fetched."""
        suspect = self.suspect
        return suspect is not None and not suspect.finished and self._time_left(suspect, SUSPECT_ALONE) > 0

    async def wait(self) -> None:
        """Wait until it is over."""
        suspect = self.suspect
        if suspect is not None and suspect.asyncio_task is not None and self.active:
            await asyncio.wait([suspect.asyncio_task], timeout=self._time_left(suspect, SUSPECT_ALONE))

    def delay(self) -> float:
        """Seconds to defer a suspect while another one runs."""
        return SUSPECT_DELAY * (0.5 + self._random.random())

    def _time_left(self, suspect: Attempt, turn: float) -> float:
        return suspect.started_at + turn - self._clock.now()
