"""The life of a task: which moves exist, and what becomes of a task when an attempt ends.

`MOVES` is the drawing in docs/concepts/lifecycle.md, as data (a test compares the two). `decide` is the
only place that says what becomes of an attempt's task; brokers only carry it out. Semantics are Go asynq's
(spec: redis wire format, sections 1.6 and 4.5) except where `decide` says otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterator
from typing import ClassVar, NamedTuple, TypeAlias

import msgspec

from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.retry import GoRetry, RetryPolicy
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.errors import (
    BadPayload,
    HandlerNotFound,
    LeaseExpired,
    RetryIn,
    RevokeTask,
    SkipRetry,
    TaskCancelled,
    WorkerDied,
)

#: Longest error text that is stored with a task, in characters. The traceback goes to the log.
MAX_ERROR_TEXT = 4_000


class Move(NamedTuple):
    """One legal move: `None` is "not stored (any more)"."""

    origin: TaskState | None
    target: TaskState | None
    cause: str


_S = TaskState
MOVES: tuple[Move, ...] = (
    Move(None, _S.PENDING, "enqueue"),
    Move(None, _S.SCHEDULED, "enqueue"),
    Move(None, _S.AGGREGATING, "enqueue"),
    Move(_S.PENDING, _S.SCHEDULED, "replace"),
    Move(_S.PENDING, _S.AGGREGATING, "replace"),
    Move(_S.SCHEDULED, _S.PENDING, "replace"),
    Move(_S.SCHEDULED, _S.AGGREGATING, "replace"),
    Move(_S.RETRY, _S.PENDING, "replace"),
    Move(_S.RETRY, _S.SCHEDULED, "replace"),
    Move(_S.RETRY, _S.AGGREGATING, "replace"),
    Move(_S.AGGREGATING, _S.PENDING, "replace"),
    Move(_S.AGGREGATING, _S.SCHEDULED, "replace"),
    Move(_S.COMPLETED, None, "replace"),
    Move(_S.ARCHIVED, None, "replace"),
    Move(_S.SCHEDULED, _S.PENDING, "forward"),
    Move(_S.SCHEDULED, _S.AGGREGATING, "forward"),
    Move(_S.RETRY, _S.PENDING, "forward"),
    Move(_S.RETRY, _S.AGGREGATING, "forward"),
    Move(_S.PENDING, _S.ACTIVE, "dequeue"),
    Move(_S.ACTIVE, None, "settle"),
    Move(_S.ACTIVE, _S.COMPLETED, "settle"),
    Move(_S.ACTIVE, _S.RETRY, "settle"),
    Move(_S.ACTIVE, _S.ARCHIVED, "settle"),
    Move(_S.ACTIVE, _S.PENDING, "settle"),
    Move(_S.AGGREGATING, None, "merge"),
    Move(_S.COMPLETED, None, "sweep"),
    Move(_S.SCHEDULED, _S.PENDING, "run"),
    Move(_S.RETRY, _S.PENDING, "run"),
    Move(_S.ARCHIVED, _S.PENDING, "run"),
    Move(_S.COMPLETED, _S.PENDING, "run"),
    Move(_S.AGGREGATING, _S.PENDING, "run"),
    Move(_S.PENDING, _S.ARCHIVED, "archive"),
    Move(_S.SCHEDULED, _S.ARCHIVED, "archive"),
    Move(_S.RETRY, _S.ARCHIVED, "archive"),
    Move(_S.COMPLETED, _S.ARCHIVED, "archive"),
    Move(_S.AGGREGATING, _S.ARCHIVED, "archive"),
    Move(_S.PENDING, None, "delete"),
    Move(_S.SCHEDULED, None, "delete"),
    Move(_S.RETRY, None, "delete"),
    Move(_S.ARCHIVED, None, "delete"),
    Move(_S.COMPLETED, None, "delete"),
    Move(_S.AGGREGATING, None, "delete"),
)


class Action(enum.Enum):
    """What an operator can do with a task that is not being worked on."""

    RUN = "run"
    ARCHIVE = "archive"
    DELETE = "delete"

    @property
    def target(self) -> TaskState | None:
        return {Action.RUN: _S.PENDING, Action.ARCHIVE: _S.ARCHIVED, Action.DELETE: None}[self]

    @property
    def origins(self) -> frozenset[TaskState]:
        """The states in which it is allowed."""
        return frozenset(m.origin for m in MOVES if m.cause == self.value and m.origin is not None)


class TransferTo(msgspec.Struct, frozen=True):
    """What an operator can do as well: put a task that waits, and belongs to nobody, into another queue."""

    queue: str

    origins: ClassVar[frozenset[TaskState]] = frozenset({_S.PENDING, _S.SCHEDULED, _S.RETRY, _S.ARCHIVED})


class Lease(msgspec.Struct, gc=False):
    """The right to work on one task until `expires_at`; `token` is the broker's own and fences late finishers."""

    message: TaskMessage
    expires_at: float
    token: Hashable = None
    #: Since when the task had been pending when it was taken; 0: not known (see `Broker.dequeue`).
    pending_since: float = 0.0


class Succeeded(msgspec.Struct, frozen=True, gc=False):
    """The handler came back."""

    result: bytes | None = None


class Failed(msgspec.Struct, frozen=True):
    """The handler raised, ran out of time, was cancelled, was never found, or its server is gone."""

    error: BaseException


class Aborted(msgspec.Struct, frozen=True):
    """The server stops before the handler came back: somebody else runs the task, as if we never had."""


class Deferred(msgspec.Struct, frozen=True):
    """The server cannot run it now, and says when to try again; as if it never had the task."""

    seconds: float


Outcome: TypeAlias = Succeeded | Failed | Aborted | Deferred

#: The outcome of most attempts, made once.
DONE = Succeeded()


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """What shall become of one leased task. Made by `decide`, applied by the broker."""

    lease: Lease
    #: COMPLETED, RETRY, ARCHIVED, PENDING; None: gone.
    to: TaskState | None
    #: The task as it shall be stored from now on.
    message: TaskMessage
    #: RETRY: due time. COMPLETED: when it expires. ARCHIVED: when it was archived.
    at: float = 0.0
    #: Count it as processed today, and as failed.
    processed: bool = False
    failed: bool = False
    result: bytes | None = None
    #: Of the attempt that ended, to be kept with a task that stays (see core/recording.py); None: nothing is kept.
    record: AttemptRecord | None = None


class UnknownTask(enum.Enum):
    """What a server does with a task type that it has no handler for."""

    #: Put it off without counting: another server, or a newer version of this one, may know it.
    DEFER = "defer"
    #: Treat it as an ordinary failure, as Go does.
    FAIL = "fail"
    ARCHIVE = "archive"


def every_error(error: BaseException) -> bool:
    """Every error is a failure."""
    return True


class Policy(msgspec.Struct, frozen=True):
    """Everything that `decide` may take into account beside the task and the outcome."""

    retry: RetryPolicy = GoRetry()
    #: False for errors that must not count as failures (Go's IsFailure).
    is_failure: Callable[[BaseException], bool] = every_error
    unknown: UnknownTask = UnknownTask.DEFER
    unknown_delay: float = 30.0
    #: So many workers may die in a row while running a task; then it is archived as poison.
    max_crashes: int = 3
    #: So often in a row an error may be called "not a failure"; then it is archived all the same.
    max_deferrals: int = 1_000


def decide(lease: Lease, outcome: Outcome, now: float, policy: Policy, chance: float = 0.0) -> Settlement:
    """What becomes of the task of `lease` after `outcome`.

    `chance` is a random number from 0 to 1 for the retry delay. Where this differs from Go on purpose:
    a lapsed lease makes the task pending at once instead of retrying it after a delay (promise P1),
    workers that keep dying archive it (`max_crashes`), unknown types and `RetryIn` are not counted.
    """
    message = lease.message
    match outcome:
        case Succeeded(result):
            if message.retention > 0:
                ended = msgspec.structs.replace(message, completed_at=now, crashes=0, deferrals=0)
                return Settlement(
                    lease, _S.COMPLETED, ended, now + message.retention, processed=True, result=result
                )
            return Settlement(lease, None, message, processed=True)
        case Aborted():
            return Settlement(lease, _S.PENDING, message)
        case Deferred(seconds):
            return Settlement(lease, _S.RETRY, message, now + seconds)
        case Failed(error):
            return _decide_failure(lease, error, now, policy, chance)


def _decide_failure(
    lease: Lease, error: BaseException, now: float, policy: Policy, chance: float
) -> Settlement:
    message = lease.message
    crashed = isinstance(error, LeaseExpired | WorkerDied)
    crashes = message.crashes + 1 if crashed else 0
    text = error_text(error)
    poison = crashed and crashes >= policy.max_crashes
    if poison:
        text = _cut(f"crash loop: {crashes} workers in a row died while running it. Last: {text}")

    def settle(
        to: TaskState | None, at: float, *, counted: bool, retried: int = 0, deferrals: int = 0
    ) -> Settlement:
        after = msgspec.structs.replace(
            message,
            last_error=text,
            last_failed_at=now,
            retried=message.retried + retried,
            crashes=crashes,
            deferrals=deferrals,
        )
        return Settlement(lease, to, after, at, processed=counted, failed=counted)

    def defer(delay: float) -> Settlement:
        return settle(_S.RETRY, now + delay, counted=False, deferrals=message.deferrals + 1)

    directive = _directive(error)
    if isinstance(directive, RevokeTask):
        return Settlement(lease, None, message, processed=True)
    if isinstance(error, TaskCancelled) and error.archive:
        return settle(_S.ARCHIVED, now, counted=True)
    if isinstance(directive, RetryIn):
        if not directive.counted:
            return defer(directive.seconds)
        if message.retried >= message.max_retry:
            return settle(_S.ARCHIVED, now, counted=True)
        return settle(_S.RETRY, now + directive.seconds, counted=True, retried=1)
    if isinstance(error, HandlerNotFound):
        if policy.unknown is UnknownTask.DEFER:
            return defer(policy.unknown_delay)
        if policy.unknown is UnknownTask.ARCHIVE:
            return settle(_S.ARCHIVED, now, counted=True)
    if (
        isinstance(directive, SkipRetry)
        or isinstance(error, BadPayload)
        or poison
        or message.retried >= message.max_retry
    ):
        return settle(_S.ARCHIVED, now, counted=True)
    if isinstance(error, LeaseExpired):
        return settle(_S.PENDING, now, counted=True, retried=1)
    delay = max(0.0, policy.retry.delay(message.retried, error, message, chance))
    if not policy.is_failure(error):
        if message.deferrals >= policy.max_deferrals:
            return settle(_S.ARCHIVED, now, counted=True)
        return defer(delay)
    return settle(_S.RETRY, now + delay, counted=True, retried=1)


def _directive(error: BaseException) -> SkipRetry | RevokeTask | RetryIn | None:
    """The directive that `error` is or wraps (`raise Problem from SkipRetry()`)."""
    for link in _causes(error):
        if isinstance(link, SkipRetry | RevokeTask | RetryIn):
            return link
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def error_text(error: BaseException) -> str:
    """What is stored of an error: its class and text, valid UTF-8, cut to `MAX_ERROR_TEXT` characters."""
    try:
        said = str(error)
    except Exception as broken:  # a user's __str__ must not cost the settlement
        said = f"(its text cannot be shown: {type(broken).__name__})"
    name = type(error).__name__
    own = type(error).__module__.partition(".")[0] == "asynqio"
    text = said if own and said else f"{name}: {said}" if said else name
    return _cut(text.encode("utf-8", "replace").decode("utf-8"))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ERROR_TEXT else text[: MAX_ERROR_TEXT - 1] + "…"
