"""One attempt at one task: its state while it runs, and what all attempts of a server share."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

import msgspec

from asynqio.clock import Clock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.info import SHOWN_PAYLOAD, WorkerInfo
from asynqio.core.lifecycle import Aborted, Failed, Lease, Outcome, Settlement
from asynqio.core.task.task import Task
from asynqio.errors import TaskCancelled
from asynqio.runtime.attempts.attempt_log import AttemptLog
from asynqio.runtime.attempts.output_writer import OutputWriter
from asynqio.runtime.lanes.target import Target

#: The attempt that the current code belongs to (`context.current()` reads it).
active_attempt: ContextVar[Attempt] = ContextVar("asynqio attempt")


class Environment(msgspec.Struct, frozen=True, eq=False):
    """What all attempts of one server share."""

    clock: Clock
    outputs: OutputWriter
    threads: ThreadLane
    processes: ProcessLane
    deadlines: DeadlineTimer
    #: The id of the server, for the records of its attempts.
    worker: str = ""
    #: What the lifespan hook yielded.
    state: Mapping[str, Any] = {}


class Attempt:
    """One run of one task."""

    __slots__ = (
        "_attempt_log",
        "_stopped_by",
        "asyncio_task",
        "deadline",
        "environment",
        "finished",
        "has_output",
        "lease",
        "loop_deadline",
        "lost",
        "outcome",
        "result",
        "settlement",
        "started",
        "started_at",
        "stopped_at",
        "stuck_reports",
        "thread",
    )

    def __init__(self, environment: Environment, lease: Lease, started_at: float) -> None:
        self.environment = environment
        self.lease = lease
        self.started_at = started_at
        #: When its time is up: seconds since the epoch, and by the event loop's clock.
        self.deadline = 0.0
        self.loop_deadline = math.inf
        self.asyncio_task: asyncio.Task[None] | None = None
        #: The id of the thread that runs the handler, for the thread lane.
        self.thread: int | None = None
        self.started = False
        #: How the handler ended. Once it is set, `stop` has no effect.
        self.outcome: Outcome | None = None
        #: What was decided, if hooks run before it is settled.
        self.settlement: Settlement | None = None
        #: The slot is free and the settlement is queued.
        self.finished = False
        #: Another server has the task: the settlement of this attempt will be refused.
        self.lost = False
        self._stopped_by: Failed | Aborted | None = None
        self.stopped_at = math.inf
        self.stuck_reports = 0
        #: Outputs were written that must be stored before the settlement.
        self.has_output = False
        self.result: bytes | None = None
        self._attempt_log: AttemptLog | None = None

    @property
    def attempt_log(self) -> AttemptLog:
        """The log of this attempt, created at the first use."""
        if self._attempt_log is None:
            self._attempt_log = AttemptLog(self, self.environment.worker, self.environment.outputs)
        return self._attempt_log

    def record(self) -> AttemptRecord:
        """The record of this attempt so far."""
        if self._attempt_log is None:
            return AttemptRecord(worker=self.environment.worker, started_at=self.started_at)
        return self._attempt_log.record()

    def close(self) -> None:
        """Show nothing more of it. Event loop only."""
        if self._attempt_log is not None:
            self._attempt_log.close()

    @property
    def stopped_by(self) -> Failed | Aborted | None:
        """Why the handler was asked to stop, or None."""
        return self._stopped_by

    def stop(self, reason: Failed | Aborted) -> None:
        """Tell the handler to stop: a coroutine is cancelled, a thread sees `current().cancelled`, a process is
        killed. The handler's own result or error wins; `reason` applies if it just ends. Event loop only."""
        if self.outcome is not None or self.finished:
            return
        if self._stopped_by is None or isinstance(reason, Aborted) or _archives(reason):
            self._stopped_by = reason
        if self.stopped_at == math.inf:
            self.stopped_at = self.environment.clock.monotonic()
        if self.started and self.asyncio_task is not None:
            self.asyncio_task.cancel()

    def lose(self) -> None:
        """Stop the handler because another server has the task. Event loop only."""
        self.lost = True
        self.stop(Aborted())

    def info(self) -> WorkerInfo:
        """What servers show of a running attempt."""
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


class ThreadLane(Protocol):
    """Runs handlers in threads."""

    async def run(self, call: Callable[..., Any], *args: Any, attempt: Attempt | None = None) -> Any: ...


class ProcessLane(Protocol):
    """Runs handlers in processes. (`ProcessPool` does; `asynqio.testing` runs them inline.)"""

    async def run(self, target: Target, task: Task, attempt: Attempt) -> Any: ...


class DeadlineTimer(Protocol):
    """Stops attempts at their deadlines."""

    def suspend(self, attempt: Attempt) -> None:
        """Let only the task's absolute deadline count, until `restart`."""
        ...

    def restart(self, attempt: Attempt) -> None:
        """Start the time of the attempt now."""
        ...


def _archives(reason: Failed) -> bool:
    """A request to archive the task replaces an earlier reason: an operator may cancel first and archive later."""
    return isinstance(reason.error, TaskCancelled) and reason.error.archive
