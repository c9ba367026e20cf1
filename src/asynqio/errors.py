"""Every error of asynqio, in one tree.

    AsynqioError
    ├─ EnqueueError              the task was not accepted
    │  ├─ InvalidTask            (also ValueError) the task or an option is invalid
    │  │  ├─ InvalidName         an invalid name of a queue, type, id or group
    │  │  ├─ InvalidOption       an unknown option or an invalid value
    │  │  ├─ ConflictingOptions  two mutually exclusive options
    │  │  ├─ InvalidArguments    (also TypeError) arguments that do not fit the task function
    │  │  ├─ NotSerializable     (also TypeError) a payload that is not JSON
    │  │  └─ PayloadTooLarge
    │  ├─ DuplicateTask          the uniqueness lock is held
    │  └─ TaskIdConflict         the id is in use
    ├─ NotFound                  (also LookupError)
    │  ├─ QueueNotFound
    │  ├─ TaskNotFound
    │  └─ EntryNotFound          no scheduler has this entry
    ├─ WrongState                not allowed in the current state of the task or queue
    ├─ ResultError               no result is available
    │  ├─ ResultNotKept          the task has no retention
    │  ├─ ResultTimeout          (also TimeoutError) not finished yet
    │  └─ TaskFailed             the task was archived
    ├─ ExecutionError            why an attempt failed; seen by retry_delay, is_failure and on_error
    │  ├─ HandlerNotFound
    │  ├─ BadPayload             the payload does not fit the handler
    │  ├─ HandlerExit            user code raised SystemExit or the like
    │  ├─ HandlerMisuse          the handler returned a generator: its body did not run
    │  ├─ TaskTimeout            (also TimeoutError)
    │  │  └─ DeadlineExceeded    the task's deadline passed: it is archived
    │  ├─ TaskCancelled
    │  ├─ WorkerDied             a process of the process pool died
    │  ├─ ProcessNotStarted      no process could be started for the task
    │  ├─ InitializerFailed      the initializer of a task process raised
    │  ├─ LeaseExpired           the server that ran the task died
    │  ├─ ResultTooLarge         (also ValueError) the result is larger than the limit
    │  └─ ProgressTooLarge       (also ValueError) the progress is larger than the limit
    ├─ BrokerError
    │  ├─ BrokerUnavailable      unreachable or busy: retry
    │  │  └─ StorageFull         free some space, then retry
    │  ├─ BrokerRefused          credentials, permissions or a quota: an operator must act, then retry
    │  │  ├─ StoreReplaced       the open database file was removed or replaced: restart the process
    │  │  ├─ AccessDenied        a permission is missing
    │  │  └─ AuthenticationFailed   missing or wrong credentials
    │  │     └─ TooManyAttempts  too many failed attempts: retry later
    │  ├─ CannotStore            invalid or too large for the store: do not retry
    │  ├─ CorruptMessage         unreadable data: do not retry
    │  ├─ VersionMismatch        the store was written by an incompatible version
    │  └─ WrongProcess           the store cannot be used here: after a fork, or in a task process
    ├─ ServerStateError          start, stop or shutdown in the wrong state
    ├─ InvalidFilter             (also ValueError) an invalid filter
    ├─ InvalidSchedule           (also ValueError) an invalid cron spec or time zone
    └─ ConfigError               (also ValueError) lists every problem

    Directive                    raised by a handler to control its task; not an error
    ├─ SkipRetry                 archive this task now
    ├─ RevokeTask                delete this task now
    └─ RetryIn(seconds)          run it again later, counted only if counted=True

`str(error)` is one sentence that names what is wrong; the facts in it are attributes as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from asynqio.directives import Directive as Directive
from asynqio.directives import RetryIn as RetryIn
from asynqio.directives import RevokeTask as RevokeTask
from asynqio.directives import SkipRetry as SkipRetry
from asynqio.error_pickling import pickle_without_constructor


class AsynqioError(Exception):
    """The base class of every error that asynqio raises."""

    __reduce__ = pickle_without_constructor


# --- enqueueing -----------------------------------------------------------------------------------


class EnqueueError(AsynqioError):
    """The task was not enqueued, and nothing of it is stored."""


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
    """`value` is not a valid name of a queue, type, id or group (`what`)."""

    def __init__(self, what: str, value: object, reason: str) -> None:
        super().__init__(f"{what} {value!r} {reason}")
        self.what, self.value, self.reason = what, value, reason


class InvalidOption(InvalidTask):
    """`option` is not an option of a task, or does not take this `value`."""

    def __init__(self, option: str, value: object, reason: str) -> None:
        super().__init__(f"{option}={value!r} {reason}")
        self.option, self.value, self.reason = option, value, reason


class ConflictingOptions(InvalidTask):
    """Two options (`options`) exclude each other."""

    def __init__(self, first: str, second: str, advice: str) -> None:
        super().__init__(f"{first} and {second} exclude each other: {advice}")
        self.options = (first, second)


class InvalidArguments(InvalidTask, TypeError):
    """The arguments of a call do not fit the task function."""

    def __init__(self, type: str, reason: str) -> None:
        super().__init__(f"task {type!r} cannot be called with these arguments: {reason}")
        self.type, self.reason = type, reason


class NotSerializable(InvalidTask, TypeError):
    """A payload or a result has no JSON form."""

    def __init__(self, type: str, reason: str) -> None:
        super().__init__(
            f"task {type!r}: {reason}; pass JSON values, dataclasses, msgspec or pydantic models, or bytes"
        )
        self.type, self.reason = type, reason


class PayloadTooLarge(InvalidTask):
    """The payload has more bytes (`size`) than the client allows (`limit`)."""

    def __init__(self, type: str, size: int, limit: int) -> None:
        super().__init__(
            f"the payload of task {type!r} has {size:,} bytes, the limit is {limit:,}: "
            "store the data elsewhere and pass a reference, or raise max_payload"
        )
        self.type, self.size, self.limit = type, size, limit


class DuplicateTask(EnqueueError):
    """Another task holds the uniqueness lock of this queue, type and payload (or `unique_key`)."""

    def __init__(self, queue: str, type: str, by: str = "payload") -> None:
        super().__init__(f"a unique task {type!r} with this {by} already exists in queue {queue!r}")
        self.queue, self.type = queue, type


class TaskIdConflict(EnqueueError):
    """The queue has a task with this id, in any state (completed and archived included)."""

    def __init__(self, queue: str, id: str) -> None:
        super().__init__(f"queue {queue!r} already has a task with the id {id!r}")
        self.queue, self.id = queue, id


class NotFound(AsynqioError, LookupError):
    """The queue, task or schedule does not exist."""


class QueueNotFound(NotFound):
    """The queue does not exist: it has never had a task, or was removed."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"there is no queue {queue!r}")
        self.queue = queue


class TaskNotFound(NotFound):
    """The queue has no task with this id."""

    def __init__(self, queue: str, id: str) -> None:
        super().__init__(
            f"queue {queue!r} has no task {id!r}: it never existed, was deleted, "
            "or ended without a retention to keep it"
        )
        self.queue, self.id = queue, id


class EntryNotFound(NotFound):
    """No running scheduler has this entry."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no schedule entry {id!r}: it was removed, or no scheduler serves it now")
        self.id = id


class WrongState(AsynqioError):
    """The action is not possible in the present state of the task or queue."""


class ResultError(AsynqioError):
    """There is no result."""


class ResultNotKept(ResultError):
    """The task has no `retention`, so its result is not stored."""

    def __init__(self, queue: str, id: str) -> None:
        super().__init__(
            f"task {id!r} of queue {queue!r} keeps no result: give it retention=<seconds> when you enqueue it"
        )
        self.queue, self.id = queue, id


class ResultTimeout(ResultError, TimeoutError):
    """The task did not complete within `timeout` seconds; `state` is its state then."""

    def __init__(self, queue: str, id: str, timeout: float, state: str) -> None:
        super().__init__(f"task {id!r} of queue {queue!r} is still {state} after {timeout:g} s")
        self.queue, self.id, self.timeout, self.state = queue, id, timeout, state


class TaskFailed(ResultError):
    """The task was archived; `error` is the text of its last error."""

    def __init__(self, queue: str, id: str, error: str) -> None:
        super().__init__(f"task {id!r} of queue {queue!r} failed for good: {error}")
        self.queue, self.id, self.error = queue, id, error


class ExecutionError(AsynqioError):
    """Why an attempt failed, when the handler itself did not raise."""


class HandlerNotFound(ExecutionError):
    """The server has no handler for this task type."""

    def __init__(self, type: str) -> None:
        super().__init__(f'handler not found for task "{type}"')
        self.type = type


class BadPayload(ExecutionError):
    """The payload does not fit the handler. Retrying does not help, so the task is archived."""

    def __init__(self, type: str, reason: str) -> None:
        super().__init__(f"the payload does not fit the handler of {type!r}: {reason}")
        self.type, self.reason = type, reason


class HandlerExit(ExecutionError):
    """User code raised `SystemExit`, `KeyboardInterrupt` or another BaseException that is no `Exception` (the
    `__cause__`). The attempt failed; the server continues."""


class HandlerMisuse(ExecutionError):
    """The handler returned a `value` with a body that does not run, such as a generator. The task is archived."""

    def __init__(self, value: str) -> None:
        super().__init__(
            f"the handler returned {value}, whose body never ran: return a value, or use async def"
        )
        self.value = value


class TaskTimeout(ExecutionError, TimeoutError):
    """The attempt ran longer than its timeout or past its deadline; it ran for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped after {seconds:.3g} s: its timeout or deadline has passed")
        self.seconds = seconds


class DeadlineExceeded(TaskTimeout):
    """The deadline of the task passed, after the attempt ran for `seconds`; 0: it did not start. The task is
    archived: retrying does not help."""

    def __init__(self, seconds: float) -> None:
        ran = f"stopped after {seconds:.3g} s" if seconds > 0 else "not started"
        super(TaskTimeout, self).__init__(f"deadline exceeded: {ran}, its deadline has passed")
        self.seconds = seconds


class TaskCancelled(ExecutionError):
    """The running task was cancelled. `archive`: it is archived, not retried."""

    def __init__(self, *, archive: bool = False) -> None:
        super().__init__("cancelled while it was running" + (", to be archived" if archive else ""))
        self.archive = archive


class WorkerDied(ExecutionError):
    """The process that ran the handler died (a crash, the out-of-memory killer, os._exit)."""

    def __init__(self, how: str) -> None:
        super().__init__(f"the process that ran it died: {how}")
        self.how = how


class ProcessNotStarted(ExecutionError):
    """A process for the task could not be started. If the system is out of file descriptors, memory or processes, the
    task is deferred, uncounted. If the new process exited while it imported its modules, the attempt has failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no task process could be started: {reason}")
        self.reason = reason


class InitializerFailed(ExecutionError):
    """The initializer of a task process raised; `error` is the text of its exception (the `__cause__`)."""

    def __init__(self, initializer: str, error: str) -> None:
        super().__init__(f"the process initializer {initializer} failed: {error}")
        self.initializer, self.error = initializer, error


class LeaseExpired(ExecutionError):
    """The lease ran out without renewal: the server that ran the task is gone."""

    def __init__(self) -> None:
        super().__init__("task lease expired: the server that ran it is gone")


class ResultTooLarge(ExecutionError, ValueError):
    """The result has more bytes (`size`) than a task may keep (`limit`). Retrying does not help."""

    def __init__(self, type: str, size: int, limit: int) -> None:
        super().__init__(
            f"the result of task {type!r} has {size:,} bytes, the limit is {limit:,}: "
            "store the data elsewhere and return a reference"
        )
        self.type, self.size, self.limit = type, size, limit


class ProgressTooLarge(ExecutionError, ValueError):
    """The progress has more bytes (`size`) than `limit`."""

    def __init__(self, type: str, size: int, limit: int) -> None:
        super().__init__(
            f"the progress of task {type!r} has {size:,} bytes, the limit is {limit:,}: "
            "report a number or a short text, and write data with write_result"
        )
        self.type, self.size, self.limit = type, size, limit


class BrokerError(AsynqioError):
    """The store refused the operation or did not answer."""


class BrokerUnavailable(BrokerError):
    """The store is unreachable or busy; the same call can succeed later."""


class StorageFull(BrokerUnavailable):
    """The store is full; nothing was changed."""


class BrokerRefused(BrokerError):
    """The store refuses the operation: wrong credentials, missing permissions, a quota, or an error that asynqio does
    not know. The same call can succeed after an operator has acted. Nothing is known to be changed."""


class StoreReplaced(BrokerRefused):
    """The open database file was removed or replaced: nothing more is written to it. Restart the process."""


class AccessDenied(BrokerRefused):
    """The principal lacks the permission `action` (on the queue and for the task type named; None: on any).

    `item` is the index of the forbidden item in a batch, which is refused as a whole."""

    item: int | None = None

    def __init__(self, action: str, queue: str | None, type: str | None) -> None:
        where = f" on queue {queue!r}" if queue is not None else ""
        what = f" for tasks of type {type!r}" if type is not None else ""
        super().__init__(
            f"permission {str(action)!r}{where}{what} is missing: ask an administrator to grant it"
        )
        self.action, self.queue, self.type = str(action), queue, type

    def as_item(self, index: int) -> Self:
        """This error, said of one item of a batch."""
        self.args, self.item = (f"item {index}: {self}",), index
        return self


class AuthenticationFailed(BrokerRefused):
    """The credentials are missing, wrong, expired or revoked."""


class TooManyAttempts(AuthenticationFailed):
    """Credentials are not checked now, because too many attempts failed. Retry after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many failed attempts to authenticate: retry in {retry_after:.0f} s")
        self.retry_after = retry_after


class CannotStore(BrokerError):
    """The store can never hold this value: it is invalid or too large. Retrying does not help."""


class CorruptMessage(BrokerError):
    """The stored bytes are not a task."""


class VersionMismatch(BrokerError):
    """Another version of asynqio, or another program, wrote the store."""


class WrongProcess(BrokerError):
    """This process cannot use the store: it was forked while the store was open, or is a task process."""


class ServerStateError(AsynqioError):
    """The server or scheduler is not in a state for this call (start, stop, shutdown)."""


class InvalidFilter(AsynqioError, ValueError):
    """The filter cannot be read, or is too long."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"filter: {reason}")
        self.reason = reason


class InvalidSchedule(AsynqioError, ValueError):
    """The cron spec never fires or cannot be read, or its time zone is unknown."""

    def __init__(self, spec: str, reason: str) -> None:
        super().__init__(f"schedule {spec!r}: {reason}")
        self.spec, self.reason = spec, reason


class ConfigError(AsynqioError, ValueError):
    """A configuration is wrong; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)
