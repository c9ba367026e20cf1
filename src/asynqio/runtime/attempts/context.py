"""`current()`: what a handler may know about the task it runs, and do with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from asynqio.brokers.contract.results import Output
from asynqio.core.attempts.record import LogLine
from asynqio.core.task import payload as payloads
from asynqio.core.task.message import TaskMessage
from asynqio.errors import ExecutionError, TaskCancelled
from asynqio.runtime.attempts.attempt import Attempt, active_attempt
from asynqio.runtime.attempts.output_writer import PendingWrite


class TaskContext(Protocol):
    """The same in coroutines, threads and processes."""

    @property
    def message(self) -> TaskMessage:
        """Everything that is stored of the task."""
        ...

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def retried(self) -> int:
        """How often it was retried before this attempt."""
        ...

    @property
    def max_retry(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def deadline(self) -> float:
        """When its time is over, in seconds since the epoch."""
        ...

    @property
    def state(self) -> Mapping[str, Any]:
        """What the lifespan hook of the server yielded. Empty in processes."""
        ...

    @property
    def cancelled(self) -> bool:
        """It was told to stop (timeout, cancellation, shutdown): long-running threads should look."""
        ...

    def check_cancelled(self) -> None:
        """Raise the reason if it was told to stop."""
        ...

    def write_result(self, data: bytes | Any) -> PendingWrite:
        """Keep a result with the task now: bytes as they are, other values as JSON. The last one wins."""
        ...

    def report_progress(self, progress: Any) -> PendingWrite:
        """Show how far it is: a percentage or any JSON value (`TaskInfo.progress`)."""
        ...

    def log(self, text: str, level: str = "info") -> None:
        """Write a line into the record of this attempt (`Inspector.attempts`); the last ones are kept. While the
        handler runs they are shown once a second."""
        ...


class Facts:
    """What every kind of context reads from the message."""

    message: TaskMessage

    @property
    def id(self) -> str:
        return self.message.id

    @property
    def type(self) -> str:
        return self.message.type

    @property
    def queue(self) -> str:
        return self.message.queue

    @property
    def retried(self) -> int:
        return self.message.retried

    @property
    def max_retry(self) -> int:
        return self.message.max_retry

    @property
    def headers(self) -> Mapping[str, str]:
        return self.message.headers


class AttemptContext(Facts):
    """The context of coroutines and threads."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.message = attempt.lease.message

    @property
    def deadline(self) -> float:
        return self._attempt.deadline

    @property
    def state(self) -> Mapping[str, Any]:
        return self._attempt.runner.state

    @property
    def cancelled(self) -> bool:
        return self._attempt.stopped_at < math.inf

    def check_cancelled(self) -> None:
        if self.cancelled:
            raise stop_error(self._attempt)

    def write_result(self, data: bytes | Any) -> PendingWrite:
        encoded = encode_value(self.message.type, data)
        self._attempt.result = encoded
        return self._note(Output(self._attempt.lease, result=encoded))

    def report_progress(self, progress: Any) -> PendingWrite:
        encoded = payloads.encode(self.message.type, progress)
        self._attempt.attempt_log.report(encoded)
        return self._note(Output(self._attempt.lease, progress=encoded))

    def log(self, text: str, level: str = "info") -> None:
        self._attempt.attempt_log.write(LogLine(self._attempt.runner.clock.now(), str(text), level))

    def _note(self, note: Output) -> PendingWrite:
        self._attempt.noted = True
        return self._attempt.runner.notes.add(note)


def stop_error(attempt: Attempt) -> ExecutionError:
    """The reason for which an attempt was stopped, as an error."""
    error = getattr(attempt.stopped_by, "error", None)
    return error if isinstance(error, ExecutionError) else TaskCancelled()


def encode_value(type: str, data: Any) -> bytes:
    return data if isinstance(data, bytes) else payloads.encode(type, data)


class ProcessFacts(msgspec.Struct, frozen=True):
    """What a child process is told about the attempt."""

    message: TaskMessage
    deadline: float


#: Set by child processes: their context comes through a pipe.
process_context: TaskContext | None = None


def current() -> TaskContext:
    """The context of the task that this code handles. Raises LookupError outside of a handler."""
    if process_context is not None:
        return process_context
    try:
        return AttemptContext(active_attempt.get())
    except LookupError:
        raise LookupError("current() only works inside a task handler") from None
