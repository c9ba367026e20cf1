"""One attempt at one task: what is known of it while it runs."""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from typing import TYPE_CHECKING

from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.info import SHOWN_PAYLOAD, WorkerInfo
from asynqio.core.lifecycle import Aborted, Failed, Lease, Outcome
from asynqio.errors import TaskCancelled
from asynqio.runtime.attempts.attempt_log import AttemptLog

if TYPE_CHECKING:
    from asynqio.runtime.runner import Runner

#: The attempt that the current code belongs to (`context.current()` reads it).
active_attempt: ContextVar[Attempt] = ContextVar("asynqio attempt")


class Attempt:
    """One run of one task."""

    __slots__ = (
        "_diary",
        "_stopped_by",
        "asyncio_task",
        "deadline",
        "finished",
        "lease",
        "loop_deadline",
        "lost",
        "noted",
        "outcome",
        "result",
        "runner",
        "started",
        "started_at",
        "stopped_at",
        "stuck_reports",
        "thread",
    )

    def __init__(self, runner: Runner, lease: Lease, started_at: float) -> None:
        self.runner = runner
        self.lease = lease
        self.started_at = started_at
        #: When its time is over, by the wall clock and by the event loop's.
        self.deadline = 0.0
        self.loop_deadline = math.inf
        self.asyncio_task: asyncio.Task[None] | None = None
        #: The id of the thread that runs the handler, for the thread lane.
        self.thread: int | None = None
        self.started = False
        #: How the handler ended, as soon as it did; stopping has no effect then.
        self.outcome: Outcome | None = None
        #: The slot is free and the settlement on its way.
        self.finished = False
        #: Somebody else has the task: whatever comes of this attempt will be refused.
        self.lost = False
        self._stopped_by: Failed | Aborted | None = None
        self.stopped_at = math.inf
        self.stuck_reports = 0
        #: Whether notes were written that must be stored before the end is.
        self.noted = False
        self.result: bytes | None = None
        self._diary: AttemptLog | None = None

    @property
    def attempt_log(self) -> AttemptLog:
        """What its handler says, made when it first says something."""
        if self._diary is None:
            self._diary = AttemptLog(self)
        return self._diary

    def record(self) -> AttemptRecord:
        """What is known of it now."""
        if self._diary is None:
            return AttemptRecord(worker=self.runner.worker, started_at=self.started_at)
        return self._diary.record()

    def close(self) -> None:
        """It is over: nothing more of it is shown. Event loop only."""
        if self._diary is not None:
            self._diary.close()

    @property
    def stopped_by(self) -> Failed | Aborted | None:
        """Why it was told to stop, or None."""
        return self._stopped_by

    def stop(self, reason: Failed | Aborted) -> None:
        """Tell the handler to stop: a coroutine is cancelled, a thread sees `current().cancelled`, a process
        is killed. What the handler makes of it decides; `reason` holds when it just ends. Event loop only."""
        if self.outcome is not None or self.finished:
            return
        if self._stopped_by is None or isinstance(reason, Aborted) or _archives(reason):
            self._stopped_by = reason
        if self.stopped_at == math.inf:
            self.stopped_at = self.runner.clock.monotonic()
        if self.started and self.asyncio_task is not None:
            self.asyncio_task.cancel()

    def lose(self) -> None:
        """The lease went to somebody else. Event loop only."""
        self.lost = True
        self.stop(Aborted())

    def card(self) -> WorkerInfo:
        message = self.lease.message
        payload = message.payload
        return WorkerInfo(
            message.queue,
            message.id,
            message.type,
            self.started_at,
            self.deadline,
            self.stuck_reports > 0,
            payload if payload is not None and len(payload) <= SHOWN_PAYLOAD else None,
        )


def _archives(reason: Failed) -> bool:
    """Whether somebody wants the task archived: who cancelled it before may think better of it."""
    return isinstance(reason.error, TaskCancelled) and reason.error.archive
