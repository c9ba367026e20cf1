"""What a running attempt says: the lines of its log and its progress, shown while it runs and recorded at its end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from asynqio.brokers.contract.results import Output
from asynqio.core.attempts.record import AttemptRecord, Log, LogLine

if TYPE_CHECKING:
    from asynqio.runtime.attempts.attempt import Attempt

#: Seconds from the first thing that is new until it is shown. A handler that is quicker costs the store nothing.
SHOWN_AFTER = 1.0


class AttemptLog:
    """Of one attempt. It is written from the handler's own thread, and shown from the event loop."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._lock = threading.Lock()
        self._log = Log()
        self._progress: bytes | None = None
        self._due = False
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: LogLine) -> None:
        """From any thread."""
        with self._lock:
            self._log.add(line)
        self._show_soon()

    def report(self, progress: bytes) -> None:
        """The progress, as JSON. From any thread."""
        self._progress = progress
        self._show_soon()

    def record(self) -> AttemptRecord:
        """What is known of the attempt now."""
        attempt = self._attempt
        with self._lock:
            lines, dropped = self._log.lines(), self._log.dropped
        return AttemptRecord(
            worker=attempt.runner.worker,
            started_at=attempt.started_at,
            progress=self._progress,
            log=lines,
            log_dropped=dropped,
        )

    def _show_soon(self) -> None:
        with self._lock:
            task = self._attempt.asyncio_task
            if self._due or task is None:
                return
            self._due = True
        # A thread that nobody waits for any more may outlive the loop.
        with contextlib.suppress(RuntimeError):
            task.get_loop().call_soon_threadsafe(self._arrange)

    def _arrange(self) -> None:
        if not self._attempt.finished:
            self._timer = asyncio.get_running_loop().call_later(SHOWN_AFTER, self._show)

    def _show(self) -> None:
        self._due = False
        attempt = self._attempt
        if not attempt.finished:
            attempt.runner.notes.add(Output(attempt.lease, live=self.record()))

    def close(self) -> None:
        """The attempt is over: its record says the rest. Event loop only."""
        if self._timer is not None:
            self._timer.cancel()
