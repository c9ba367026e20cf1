"""Reports a blocked event loop, and handlers that were asked to stop and do not.

It runs in the heartbeat's thread, so that a blocked event loop does not stop it. Reports go to the log, with the
stack of the code in question; ServerInfo marks the task as stuck.
"""

from __future__ import annotations

import asyncio
import io
import logging
import math
import sys
import threading
import traceback
from types import FrameType

from asynqio.runtime.attempts.attempt import Attempt
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.events import HandlerStuck, LoopBlocked, LoopFreed

log = logging.getLogger("asynqio.server")


class Watchdog:
    """`check` is called about once a second."""

    def __init__(self, runner: Runner, *, stuck_after: float, blocked_after: float) -> None:
        self._runner = runner
        self._stuck_after = stuck_after
        self._blocked_after = blocked_after
        self._clock = runner.clock
        self._events = runner.events
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._answered = True
        self._asked_at = self._answered_at = 0.0
        self._reported_block = False

    def check(self) -> None:
        """Check the event loop and all handlers. Called in the heartbeat's thread."""
        self._check_loop()
        now = self._clock.monotonic()
        for attempt in list(self._runner.running.values()):
            overdue = now - attempt.stopped_at
            # Repeat the report each time the delay has doubled: 5 s, 10 s, 20 s…
            if attempt.stopped_at < math.inf and overdue >= self._stuck_after * 2**attempt.stuck_reports:
                attempt.stuck_reports += 1
                self._report(attempt, overdue)

    def _check_loop(self) -> None:
        now = self._clock.monotonic()
        if self._answered:
            if self._reported_block:
                seconds = self._answered_at - self._asked_at
                log.warning(
                    "the event loop runs again after %.1f s",
                    seconds,
                    extra={"event": "loop_unblocked", "seconds": round(seconds, 3)},
                )
                self._reported_block = False
                if self._events.listeners:
                    self._events.publish(LoopFreed(seconds))
            self._answered = False
            self._asked_at = now
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._answer)
        elif now - self._asked_at >= self._blocked_after and not self._reported_block:
            self._reported_block = True
            seconds = now - self._asked_at
            log.warning(
                "the event loop has been blocked for %.1f s: a coroutine handler computes or waits without "
                'await (use a plain function, or run_in="process"). Its stack:\n%s',
                seconds,
                _stack(sys._current_frames().get(self._loop_thread)),
                extra={"event": "loop_blocked", "seconds": round(seconds, 3)},
            )
            if self._events.listeners:
                self._events.publish(LoopBlocked(seconds))

    def _answer(self) -> None:
        self._answered_at = self._clock.monotonic()
        self._answered = True

    def _report(self, attempt: Attempt, overdue: float) -> None:
        message = attempt.lease.message
        log.warning(
            "task %r (%s, queue %r) was asked to stop %.0f s ago (%s) and is stuck; it keeps its slot and its lease "
            "until its handler returns. Its stack:\n%s",
            message.id,
            message.type,
            message.queue,
            overdue,
            getattr(attempt.stopped_by, "error", "shutdown"),
            self._where(attempt),
            extra={"event": "handler_stuck", "seconds": round(overdue, 3), **task_fields(message)},
        )
        if self._events.listeners:
            self._events.publish(HandlerStuck(message, overdue))

    def _where(self, attempt: Attempt) -> str:
        if attempt.thread is not None:
            return _stack(sys._current_frames().get(attempt.thread))
        buffer = io.StringIO()
        if attempt.asyncio_task is not None:
            attempt.asyncio_task.print_stack(file=buffer)
        return buffer.getvalue()


def _stack(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame)) if frame is not None else "(it has just ended)\n"
