"""Stops attempts whose time is over, with one timer for all of them.

A timer per attempt costs a quarter of the throughput of small tasks. Here arming is one comparison: the
timer stands at the earliest deadline seen, and when it fires, the running attempts (never more than there
are slots) are looked through for those whose time is over and for the next deadline.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from asynqio.core.lifecycle import Failed
from asynqio.core.task.options import DEFAULT_TIMEOUT
from asynqio.errors import TaskTimeout

if TYPE_CHECKING:
    from asynqio.runtime.attempts.attempt import Attempt


class Deadlines:
    """The deadlines of all running attempts of one event loop."""

    def __init__(self, running: dict[tuple[str, str], Attempt]) -> None:
        self._running = running
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def arm(self, attempt: Attempt, now: float, loop_now: float) -> None:
        """Give the attempt its time, from now (by the wall clock and by the loop's) on (section 4.6)."""
        message = attempt.lease.message
        seconds = message.timeout
        if message.deadline:
            left = message.deadline - now
            seconds = min(seconds, left) if seconds else left
        elif not seconds:
            seconds = DEFAULT_TIMEOUT
        attempt.deadline = now + seconds
        at = attempt.loop_deadline = loop_now + seconds
        if seconds <= 0:
            attempt.loop_deadline = math.inf
            attempt.stop(Failed(TaskTimeout(0.0)))  # its handler is not called at all
        elif at < self._timer_at:
            self._set_timer(asyncio.get_running_loop(), at)

    def suspend(self, attempt: Attempt) -> None:
        """Until it is armed again, only the task's absolute deadline ends the attempt."""
        if not attempt.lease.message.deadline:
            attempt.loop_deadline = math.inf

    def _set_timer(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = loop.call_at(at, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer, self._timer_at = None, math.inf
        next_at = math.inf
        for attempt in list(self._running.values()):
            if attempt.loop_deadline <= now:
                attempt.loop_deadline = math.inf
                attempt.stop(Failed(TaskTimeout(attempt.runner.clock.now() - attempt.started_at)))
            elif attempt.loop_deadline < next_at:
                next_at = attempt.loop_deadline
        if next_at < math.inf:
            self._set_timer(loop, next_at)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf
