"""The life cycle of a task: the legal state transitions, and the next state when an attempt ends.

`MOVES` is the diagram in docs/concepts/lifecycle.md as data; a test compares the two. Only `decide` chooses the
next state of a task; brokers apply it. The semantics are those of Go asynq except where `decide` says otherwise.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterator
from typing import ClassVar, NamedTuple, TypeAlias

import msgspec

from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.attempts.shorten import TRACEBACK_LIMIT
from asynqio.core.retry import MAX_DELAY, GoRetry, RetryPolicy, delay_after_crash, delay_of
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.unique import UniqueUntil
from asynqio.errors import (
    BadPayload,
    DeadlineExceeded,
    HandlerNotFound,
    LeaseExpired,
    RetryIn,
    RevokeTask,
    SkipRetry,
    TaskCancelled,
    WorkerDied,
)

#: Longest error text stored with a task, in characters. The traceback goes to the log.
MAX_ERROR_TEXT = 4_000


class Move(NamedTuple):
    """One legal state transition. `None` means that the task is not stored."""

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
    Move(_S.AGGREGATING, _S.ARCHIVED, "fail"),
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
    """An operator's action on a task that is not active."""

    RUN = "run"
    ARCHIVE = "archive"
    DELETE = "delete"

    @property
    def target(self) -> TaskState | None:
        return {Action.RUN: _S.PENDING, Action.ARCHIVE: _S.ARCHIVED, Action.DELETE: None}[self]

    @property
    def origins(self) -> frozenset[TaskState]:
        """The states in which the action is allowed."""
        return frozenset(m.origin for m in MOVES if m.cause == self.value and m.origin is not None)


class TransferTo(msgspec.Struct, frozen=True):
    """An operator's action: transfer an unclaimed waiting task to the queue `queue`."""

    queue: str

    origins: ClassVar[frozenset[TaskState]] = frozenset({_S.PENDING, _S.SCHEDULED, _S.RETRY, _S.ARCHIVED})


class Lease(msgspec.Struct, gc=False):
    """The right to run one task until `expires_at`. By the opaque `token` the broker rejects late settlements."""

    message: TaskMessage
    expires_at: float
    token: Hashable = None
    #: When the task became pending, in epoch seconds; 0 if unknown (see `Broker.dequeue`).
    pending_since: float = 0.0
    #: A settlement was sent and its answer lost: the next one says so, and the store recognises it.
    unconfirmed: bool = False


class Succeeded(msgspec.Struct, frozen=True, gc=False):
    """The handler returned."""

    result: bytes | None = None


class Failed(msgspec.Struct, frozen=True):
    """The handler raised, timed out, was cancelled or not found, or its server died."""

    error: BaseException


class Aborted(msgspec.Struct, frozen=True):
    """The server stopped before the handler returned. The task is pending again; the attempt is not counted."""


class Deferred(msgspec.Struct, frozen=True):
    """The server cannot run the task now and defers it by `seconds`; the attempt is not counted."""

    seconds: float


Outcome: TypeAlias = Succeeded | Failed | Aborted | Deferred

#: Shared instance: the outcome of most attempts.
DONE = Succeeded()


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The next state of one leased task. Made by `decide`, applied by the broker."""

    lease: Lease
    #: COMPLETED, RETRY, ARCHIVED or PENDING; None deletes the task.
    to: TaskState | None
    #: The message to store.
    message: TaskMessage
    #: Epoch seconds. RETRY: when the task is due. COMPLETED: when it expires. ARCHIVED: when it was archived.
    at: float = 0.0
    #: Whether to count the attempt as processed, and as failed.
    processed: bool = False
    failed: bool = False
    result: bytes | None = None
    #: The record of the attempt, stored with the task (see core/attempts/make_record.py); None stores no record.
    record: AttemptRecord | None = None


class UnknownTask(enum.Enum):
    """What a server does with a task of a type for which it has no handler."""

    #: Defer it, uncounted: another server, or a newer version of this one, may have a handler.
    DEFER = "defer"
    #: Treat it as a failure, as Go does.
    FAIL = "fail"
    ARCHIVE = "archive"


def every_error(error: BaseException) -> bool:
    """Every error is a failure."""
    return True


class Policy(msgspec.Struct, frozen=True):
    """The settings that `decide` applies."""

    retry: RetryPolicy = GoRetry()
    #: Returns False for errors that do not count as failures (Go's IsFailure).
    is_failure: Callable[[BaseException], bool] = every_error
    unknown: UnknownTask = UnknownTask.DEFER
    unknown_delay: float = 30.0
    #: Consecutive worker deaths after which a task is archived as poison.
    max_crashes: int = 3
    #: Consecutive uncounted errors after which a task is archived.
    max_deferrals: int = 1_000
    #: Bytes that the error and the traceback of an attempt may take in its record, compressed.
    traceback_limit: int = TRACEBACK_LIMIT


def decide(lease: Lease, outcome: Outcome, now: float, policy: Policy, chance: float = 0.0) -> Settlement:
    """Return the settlement of the task of `lease` after `outcome`.

    `now` is in epoch seconds. `chance` is a random number from 0 to 1 for the retry delay. Intentional differences
    from Go: after an expired lease the task is pending at once, unless the application's own retry function or class
    decides; `max_crashes` consecutive worker deaths archive it; unknown types and `RetryIn` are not counted as
    failures; a passed deadline archives the task and frees its uniqueness lock.
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
    if isinstance(error, DeadlineExceeded):
        return _free_lock(settle(_S.ARCHIVED, now, counted=True))
    if isinstance(directive, RevokeTask):
        return Settlement(lease, None, message, processed=True)
    if isinstance(error, TaskCancelled) and error.archive:
        return settle(_S.ARCHIVED, now, counted=True)
    if isinstance(directive, RetryIn):
        if not directive.counted:
            return defer(min(directive.seconds, MAX_DELAY))
        if message.retried >= message.max_retry:
            return settle(_S.ARCHIVED, now, counted=True)
        return settle(_S.RETRY, now + min(directive.seconds, MAX_DELAY), counted=True, retried=1)
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
    lost = isinstance(error, LeaseExpired)
    delay = (delay_after_crash if lost else delay_of)(policy.retry, message.retried, error, message, chance)
    again = _S.PENDING if lost and delay == 0 else _S.RETRY
    if not policy.is_failure(error):
        if message.deferrals >= policy.max_deferrals:
            return settle(_S.ARCHIVED, now, counted=True)
        return settle(again, now + delay, counted=False, deferrals=message.deferrals + 1)
    if message.deadline and now + delay >= message.deadline:
        text = _cut(f"{text} (not retried: its deadline passes before the next attempt)")
        return _free_lock(settle(_S.ARCHIVED, now, counted=True))
    return settle(again, now + delay, counted=True, retried=1)


def _free_lock(settlement: Settlement) -> Settlement:
    """Let the archived task free its uniqueness lock: its deadline has passed, so it cannot run again."""
    message = settlement.message
    if not message.unique_key or message.unique_until is not UniqueUntil.FINISHED:
        return settlement
    ended = msgspec.structs.replace(message, unique_until=UniqueUntil.ENDED)
    return msgspec.structs.replace(settlement, message=ended)


def _directive(error: BaseException) -> SkipRetry | RevokeTask | RetryIn | None:
    """The directive that `error` is, or was raised from (`raise Problem from SkipRetry()`)."""
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
    """The text stored for an error: class and message, valid UTF-8, cut to `MAX_ERROR_TEXT` characters."""
    try:
        detail = str(error)
    except BaseException as broken:  # a user's __str__ must not prevent the settlement
        detail = f"(str() of the error raised {type(broken).__name__})"
    name = type(error).__name__
    own = type(error).__module__.partition(".")[0] == "asynqio"
    text = detail if own and detail else f"{name}: {detail}" if detail else name
    return _cut(text.encode("utf-8", "replace").decode("utf-8"))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ERROR_TEXT else text[: MAX_ERROR_TEXT - 1] + "…"
