"""`current()`: what a handler can read of its task, and do with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from asynqio.brokers.contract.results import Output
from asynqio.core.attempts.record import LogLine
from asynqio.core.task import payload as payloads
from asynqio.core.task.message import TaskMessage
from asynqio.errors import ExecutionError, ProgressTooLarge, ResultTooLarge, TaskCancelled
from asynqio.runtime.attempts.attempt import Attempt, active_attempt
from asynqio.runtime.attempts.output_writer import PendingWrite

#: Most bytes of a result and of progress. Every store takes them, in one call with those of other tasks.
MAX_RESULT = 32 * 1_048_576
MAX_PROGRESS = 65_536


class TaskContext(Protocol):
    """The running task. The same in coroutines, threads and processes."""

    @property
    def message(self) -> TaskMessage:
        """The stored message of the task."""
        ...

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def retried(self) -> int:
        """The number of counted retries before this attempt."""
        ...

    @property
    def max_retry(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def deadline(self) -> float:
        """When the attempt is stopped, in seconds since the epoch."""
        ...

    @property
    def state(self) -> Mapping[str, Any]:
        """What the lifespan hook of the server yielded. Empty in task processes."""
        ...

    @property
    def cancelled(self) -> bool:
        """True once the handler should stop (timeout, cancellation, shutdown). Long-running threads should poll
        it."""
        ...

    def check_cancelled(self) -> None:
        """Raise the reason (TaskTimeout, TaskCancelled) if the handler should stop."""
        ...

    def write_result(self, data: bytes | Any) -> PendingWrite:
        """Store a result with the task now: bytes as they are, other values as JSON. The last one wins.
        Raises NotSerializable, and ResultTooLarge above 32 MiB."""
        ...

    def report_progress(self, progress: Any) -> PendingWrite:
        """Store the progress: a percentage or any JSON value (`TaskInfo.progress`).
        Raises NotSerializable, and ProgressTooLarge above 64 KiB."""
        ...

    def log(self, text: str, level: str = "info") -> None:
        """Add a line to the record of this attempt (`Inspector.attempts`), which keeps the last ones. While the
        handler runs, new lines are shown once a second."""
        ...


class MessageContext:
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


class AttemptContext(MessageContext):
    """The context of coroutines and threads."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.message = attempt.lease.message

    @property
    def deadline(self) -> float:
        return self._attempt.deadline

    @property
    def state(self) -> Mapping[str, Any]:
        return self._attempt.environment.state

    @property
    def cancelled(self) -> bool:
        return self._attempt.stopped_at < math.inf

    def check_cancelled(self) -> None:
        if self.cancelled:
            raise stop_error(self._attempt)

    def write_result(self, data: bytes | Any) -> PendingWrite:
        encoded = encode_value(self.message.type, data)
        self._attempt.result = encoded
        return self._write(Output(self._attempt.lease, result=encoded))

    def report_progress(self, progress: Any) -> PendingWrite:
        encoded = encode_progress(self.message.type, progress)
        self._attempt.attempt_log.report(encoded)
        return self._write(Output(self._attempt.lease, progress=encoded))

    def log(self, text: str, level: str = "info") -> None:
        self._attempt.attempt_log.write(LogLine(self._attempt.environment.clock.now(), str(text), level))

    def _write(self, output: Output) -> PendingWrite:
        self._attempt.has_output = True
        return self._attempt.environment.outputs.add(output)


def stop_error(attempt: Attempt) -> ExecutionError:
    """The reason why an attempt was stopped, as an error."""
    error = getattr(attempt.stopped_by, "error", None)
    return error if isinstance(error, ExecutionError) else TaskCancelled()


def encode_value(type: str, data: Any) -> bytes:
    """A result: bytes as they are, other values as JSON. Raises NotSerializable, ResultTooLarge."""
    encoded = data if isinstance(data, bytes) else payloads.encode(type, data)
    if len(encoded) > MAX_RESULT:
        raise ResultTooLarge(type, len(encoded), MAX_RESULT)
    return encoded


def encode_progress(type: str, progress: Any) -> bytes:
    """Progress as JSON. Raises NotSerializable, ProgressTooLarge."""
    encoded = payloads.encode(type, progress)
    if len(encoded) > MAX_PROGRESS:
        raise ProgressTooLarge(type, len(encoded), MAX_PROGRESS)
    return encoded


#: Set in task processes, which run one handler at a time.
process_context: TaskContext | None = None


def current() -> TaskContext:
    """The context of the task that the calling code handles. Raises LookupError outside of a handler."""
    if process_context is not None:
        return process_context
    try:
        return AttemptContext(active_attempt.get())
    except LookupError:
        raise LookupError("current() only works inside a task handler") from None
