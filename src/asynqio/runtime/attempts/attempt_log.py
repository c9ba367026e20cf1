"""The log lines and progress of a running attempt: shown while it runs, recorded when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Protocol

from asynqio.brokers.contract.results import Output
from asynqio.core.attempts.record import AttemptRecord, Log, LogLine
from asynqio.core.lifecycle import Lease
from asynqio.runtime.attempts.output_writer import OutputWriter

#: Seconds from the first new line until it is shown. A handler that ends sooner costs the store nothing.
SHOWN_AFTER = 1.0


class LoggedAttempt(Protocol):
    """What the log reads of its attempt."""

    @property
    def lease(self) -> Lease: ...
    @property
    def started_at(self) -> float: ...
    @property
    def finished(self) -> bool: ...
    @property
    def asyncio_task(self) -> asyncio.Task[None] | None: ...


class AttemptLog:
    """The log of one attempt. Written in the thread of its handler, shown from the event loop."""

    def __init__(self, attempt: LoggedAttempt, worker: str, outputs: OutputWriter) -> None:
        self._attempt = attempt
        self._worker = worker
        self._outputs = outputs
        self._lock = threading.Lock()
        self._log = Log()
        self._progress: bytes | None = None
        self._due = False
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: LogLine) -> None:
        """Add a line. Safe to call from any thread."""
        with self._lock:
            self._log.add(line)
        self._show_soon()

    def report(self, progress: bytes) -> None:
        """Set the progress, as JSON. Safe to call from any thread."""
        self._progress = progress
        self._show_soon()

    def record(self) -> AttemptRecord:
        """The record of the attempt so far."""
        with self._lock:
            lines, dropped = self._log.lines(), self._log.dropped
        return AttemptRecord(
            worker=self._worker,
            started_at=self._attempt.started_at,
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
        # A thread that ignores its cancellation may outlive the loop.
        with contextlib.suppress(RuntimeError):
            task.get_loop().call_soon_threadsafe(self._set_timer)

    def _set_timer(self) -> None:
        if not self._attempt.finished:
            self._timer = asyncio.get_running_loop().call_later(SHOWN_AFTER, self._show)

    def _show(self) -> None:
        self._due = False
        if not self._attempt.finished:
            self._outputs.add(Output(self._attempt.lease, live=self.record()))

    def close(self) -> None:
        """Show nothing more: the attempt has ended. Event loop only."""
        if self._timer is not None:
            self._timer.cancel()
