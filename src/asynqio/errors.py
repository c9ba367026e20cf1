"""Every error of asynqio, in one tree.

    AsynqioError
    ├─ EnqueueError              the task was not taken
    │  ├─ InvalidTask            (also ValueError) it can never be taken like this
    │  │  ├─ InvalidName         a queue, type, id or group that cannot be a name
    │  │  ├─ InvalidOption       a value that an option does not take
    │  │  ├─ ConflictingOptions  two options that exclude each other
    │  │  ├─ InvalidArguments    (also TypeError) arguments that the task function does not take
    │  │  ├─ NotSerializable     (also TypeError) a payload that is not JSON
    │  │  └─ PayloadTooLarge
    │  ├─ DuplicateTask          the uniqueness lock is held
    │  └─ TaskIdConflict         the id is taken
    ├─ NotFound                  (also LookupError)
    │  ├─ QueueNotFound
    │  ├─ TaskNotFound
    │  └─ EntryNotFound          a scheduler has no such entry
    ├─ WrongState                not allowed now: the task is active or already there, the queue not empty
    ├─ ResultError               there is no result to give
    │  ├─ ResultNotKept          the task has no retention
    │  ├─ ResultTimeout          (also TimeoutError) not finished yet
    │  └─ TaskFailed             it ended in the archive
    ├─ ExecutionError            why an attempt failed; seen by retry_delay, is_failure and on_error
    │  ├─ HandlerNotFound
    │  ├─ BadPayload             the payload does not fit the handler
    │  ├─ TaskTimeout            (also TimeoutError)
    │  ├─ TaskCancelled
    │  ├─ WorkerDied             a process of the process lane went away
    │  └─ LeaseExpired           the server that ran it went away
    ├─ BrokerError
    │  ├─ BrokerUnavailable      try again
    │  │  └─ StorageFull         make room, then try again
    │  ├─ CorruptMessage         do not
    │  └─ VersionMismatch        the store was written by another version
    ├─ ServerStateError          start, stop or shutdown at the wrong moment
    ├─ InvalidFilter             (also ValueError) a filter that means nothing
    ├─ InvalidSchedule           (also ValueError) a cron spec, or its time zone, that means nothing
    └─ ConfigError               (also ValueError) lists every problem at once

    Directive                    raised by a handler to steer; not an error and not a failure
    ├─ SkipRetry                 archive this task now
    ├─ RevokeTask                forget this task now
    └─ RetryIn(seconds)          run it again later, without counting it

`str(error)` is one sentence with the names in it; the facts are attributes, so nobody has to parse it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


def _reduce(error: BaseException) -> tuple[Any, ...]:
    """Errors travel between processes whatever their constructors look like."""
    return _rebuild, (type(error), error.args, error.__dict__)


class AsynqioError(Exception):
    """The root of everything that asynqio raises on purpose."""

    __reduce__ = _reduce


# --- enqueueing -----------------------------------------------------------------------------------


class EnqueueError(AsynqioError):
    """The task was not taken. Nothing of it is stored."""


class InvalidTask(EnqueueError, ValueError):
    """The task can never be enqueued as it is."""

    #: Where the mistake is written, such as "task 'email:send'"; empty when it is not known.
    place: str = ""

    def within(self, place: str) -> Self:
        """The same error with the place in front of its message."""
        if not self.place:
            self.place = place
            self.args = (f"{place}: {self}",)
        return self


class InvalidName(InvalidTask):
    """A queue, type, id or group that cannot be a name."""

    def __init__(self, what: str, value: object, reason: str) -> None:
        super().__init__(f"{what} {value!r} {reason}")
        self.what, self.value, self.reason = what, value, reason


class InvalidOption(InvalidTask):
    """A value that an option does not take."""

    def __init__(self, option: str, value: object, reason: str) -> None:
        super().__init__(f"{option}={value!r} {reason}")
        self.option, self.value, self.reason = option, value, reason


class ConflictingOptions(InvalidTask):
    """Two options that exclude each other were given together."""

    def __init__(self, first: str, second: str, advice: str) -> None:
        super().__init__(f"{first} and {second} exclude each other: {advice}")
        self.options = (first, second)


class InvalidArguments(InvalidTask, TypeError):
    """The arguments do not fit the task function."""

    def __init__(self, type: str, reason: str) -> None:
        super().__init__(f"task {type!r} cannot be called like this: {reason}")
        self.type, self.reason = type, reason


class NotSerializable(InvalidTask, TypeError):
    """A payload or a result that has no JSON form."""

    def __init__(self, type: str, reason: str) -> None:
        super().__init__(
            f"task {type!r}: {reason}; pass JSON values, dataclasses, msgspec or pydantic models, or bytes"
        )
        self.type, self.reason = type, reason


class PayloadTooLarge(InvalidTask):
    """The payload is larger than the client allows."""

    def __init__(self, type: str, size: int, limit: int) -> None:
        super().__init__(
            f"the payload of task {type!r} has {size:,} bytes, the limit is {limit:,}: "
            "store the data elsewhere and pass a reference, or raise max_payload"
        )
        self.type, self.size, self.limit = type, size, limit


class DuplicateTask(EnqueueError):
    """The uniqueness lock of this queue, type and payload (or `unique_key`) is held."""

    def __init__(self, queue: str, type: str, by: str = "payload") -> None:
        super().__init__(f"a unique task {type!r} with this {by} already exists in queue {queue!r}")
        self.queue, self.type = queue, type


class TaskIdConflict(EnqueueError):
    """A task with this id is in the queue, in whatever state (also completed or archived)."""

    def __init__(self, queue: str, id: str) -> None:
        super().__init__(f"queue {queue!r} already has a task with the id {id!r}")
        self.queue, self.id = queue, id


# --- looking things up ----------------------------------------------------------------------------


class NotFound(AsynqioError, LookupError):
    """What was asked for is not there."""


class QueueNotFound(NotFound):
    def __init__(self, queue: str) -> None:
        super().__init__(f"there is no queue {queue!r}")
        self.queue = queue


class TaskNotFound(NotFound):
    def __init__(self, queue: str, id: str) -> None:
        super().__init__(
            f"queue {queue!r} has no task {id!r}: it never existed, was deleted, "
            "or ended without a retention that would keep it"
        )
        self.queue, self.id = queue, id


class EntryNotFound(NotFound):
    """No scheduler that is there has this entry."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no schedule entry {id!r}: it was removed, or no scheduler serves it now")
        self.id = id


class WrongState(AsynqioError):
    """The action is not allowed in the present state of the task or the queue."""


# --- results --------------------------------------------------------------------------------------


class ResultError(AsynqioError):
    """There is no result to give."""


class ResultNotKept(ResultError):
    def __init__(self, queue: str, id: str) -> None:
        super().__init__(
            f"task {id!r} of queue {queue!r} keeps no result: give it retention=<seconds> when you enqueue it"
        )
        self.queue, self.id = queue, id


class ResultTimeout(ResultError, TimeoutError):
    def __init__(self, queue: str, id: str, timeout: float, state: str) -> None:
        super().__init__(f"task {id!r} of queue {queue!r} is still {state} after {timeout:g} s")
        self.queue, self.id, self.timeout, self.state = queue, id, timeout, state


class TaskFailed(ResultError):
    def __init__(self, queue: str, id: str, error: str) -> None:
        super().__init__(f"task {id!r} of queue {queue!r} failed for good: {error}")
        self.queue, self.id, self.error = queue, id, error


# --- running --------------------------------------------------------------------------------------


class ExecutionError(AsynqioError):
    """Why an attempt failed, when it was not the handler's own exception."""


class HandlerNotFound(ExecutionError):
    def __init__(self, type: str) -> None:
        super().__init__(f'handler not found for task "{type}"')
        self.type = type


class BadPayload(ExecutionError):
    """The payload does not fit the handler; trying again cannot help, so the task is archived."""

    def __init__(self, type: str, reason: str) -> None:
        super().__init__(f"the payload does not fit the handler of {type!r}: {reason}")
        self.type, self.reason = type, reason


class TaskTimeout(ExecutionError, TimeoutError):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped after {seconds:.3g} s: its timeout or deadline has passed")
        self.seconds = seconds


class TaskCancelled(ExecutionError):
    """Somebody cancelled the running task. `archive`: and wants it archived, not retried."""

    def __init__(self, *, archive: bool = False) -> None:
        super().__init__("cancelled while it was running" + (", to be archived" if archive else ""))
        self.archive = archive


class WorkerDied(ExecutionError):
    """The process that ran the handler went away (a crash, the out-of-memory killer, os._exit)."""

    def __init__(self, how: str) -> None:
        super().__init__(f"the process that ran it died: {how}")
        self.how = how


class LeaseExpired(ExecutionError):
    """Nobody renewed the lease: the server that ran the task is gone."""

    def __init__(self) -> None:
        super().__init__("task lease expired: the server that ran it is gone")


# --- brokers --------------------------------------------------------------------------------------


class BrokerError(AsynqioError):
    """The store said no."""


class BrokerUnavailable(BrokerError):
    """The store cannot be reached or is busy; the same call may succeed later."""


class StorageFull(BrokerUnavailable):
    """There is no room left; nothing was changed."""


class CorruptMessage(BrokerError):
    """Stored bytes that are not a task."""


class VersionMismatch(BrokerError):
    """The store was written by another version, or is not ours at all."""


# --- configuration and state ----------------------------------------------------------------------


class ServerStateError(AsynqioError):
    """start, stop or shutdown at a moment where they make no sense."""


class InvalidFilter(AsynqioError, ValueError):
    """A filter that means nothing, or asks for too much at once."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"filter: {reason}")
        self.reason = reason


class InvalidSchedule(AsynqioError, ValueError):
    """A cron spec that says no time to fire, or a time zone that there is not."""

    def __init__(self, spec: str, reason: str) -> None:
        super().__init__(f"schedule {spec!r}: {reason}")
        self.spec, self.reason = spec, reason


class ConfigError(AsynqioError, ValueError):
    """Everything that is wrong with a configuration, at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


# --- directives -----------------------------------------------------------------------------------


class Directive(Exception):
    """Raised by a handler to steer. Also found when it is the `__cause__` of another exception."""

    __reduce__ = _reduce


class SkipRetry(Directive):
    """Archive the task now, whatever retries are left."""


class RevokeTask(Directive):
    """Drop the task now: counted as processed, not as failed; its result is not kept."""


class RetryIn(Directive):
    """Run the task again in `delay` seconds (or a timedelta). Neither a failure nor a counted retry."""

    def __init__(self, delay: float | timedelta, reason: str = "") -> None:
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"RetryIn({delay!r}): give a number of seconds from 0 up")
        super().__init__(reason or f"asked to run again in {seconds:g} s")
        self.seconds = seconds
