"""Stops attempts at their deadlines, with one timer for all of them.

One timer per attempt would cost a quarter of the throughput of small tasks. Here arming is one comparison: the timer
is set to the earliest deadline, and when it fires, the running attempts (never more than there are slots) are
searched for those that are overdue and for the next deadline.
"""

from __future__ import annotations

import asyncio
import math

from asynqio.clock import Clock
from asynqio.core.lifecycle import Failed
from asynqio.core.task.options import DEFAULT_TIMEOUT
from asynqio.errors import DeadlineExceeded, TaskTimeout
from asynqio.runtime.attempts.attempt import Attempt


class Deadlines:
    """The deadlines of all running attempts of one event loop."""

    def __init__(self, running: dict[tuple[str, str], Attempt], clock: Clock) -> None:
        self._running = running
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def arm(self, attempt: Attempt, now: float, loop_now: float) -> None:
        """Set the deadline of an attempt that starts now (`now` by the wall clock, `loop_now` by the loop's): the
        earlier of the task's timeout and its absolute deadline, the default timeout if it has neither."""
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
            attempt.stop(Failed(_timeout(attempt, 0.0)))  # its handler is not called at all
        elif at < self._timer_at:
            self._set_timer(asyncio.get_running_loop(), at)

    def suspend(self, attempt: Attempt) -> None:
        """Let only the task's absolute deadline count, until `restart`: the attempt waits for a process."""
        if not attempt.lease.message.deadline:
            attempt.loop_deadline = math.inf

    def restart(self, attempt: Attempt) -> None:
        """Start the time of the attempt now: its handler starts."""
        now = attempt.started_at = self._clock.now()
        self.arm(attempt, now, asyncio.get_running_loop().time())

    def _set_timer(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = loop.call_at(at, self._stop_overdue)

    def _stop_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer, self._timer_at = None, math.inf
        next_at = math.inf
        for attempt in list(self._running.values()):
            if attempt.loop_deadline <= now:
                attempt.loop_deadline = math.inf
                attempt.stop(Failed(_timeout(attempt, self._clock.now() - attempt.started_at)))
            elif attempt.loop_deadline < next_at:
                next_at = attempt.loop_deadline
        if next_at < math.inf:
            self._set_timer(loop, next_at)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf


def _timeout(attempt: Attempt, seconds: float) -> TaskTimeout:
    """Why the time of an attempt is up: its timeout, or the deadline of its task."""
    deadline = attempt.lease.message.deadline
    # The attempt's deadline was computed from the task's: it may differ by a rounding error.
    if deadline and attempt.deadline > deadline - 0.001:
        return DeadlineExceeded(seconds)
    return TaskTimeout(seconds)
