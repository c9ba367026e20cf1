"""Attempt records: when and where each attempt of a task ran, how it ended, and the log of its handler.

`make_record.py` makes a record when an attempt ends; it is stored with the settlement and deleted with the task. Size
and number are bounded, and dropped log lines are counted. Long errors and tracebacks are stored compressed.
"""

from __future__ import annotations

import enum
from collections import deque

import msgspec

from asynqio.core.attempts.stored_text import PLAIN, pack, unpack
from asynqio.core.task.message import TaskState

#: Records kept per task: the latest ones.
RUNS_KEPT = 10
#: Most log lines per attempt, their total size in bytes, and the length of one in characters. The latest lines are
#: kept.
MAX_LINES, MAX_LOG, MAX_LINE = 200, 16_384, 2_000
MAX_LEVEL = 20


class AttemptOutcome(enum.StrEnum):
    """How an attempt ended."""

    #: Not ended.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    #: A counted failure.
    FAILED = "failed"
    #: Deferred, uncounted: `RetryIn`, or an error that `is_failure` rejects.
    DEFERRED = "deferred"
    #: The server stopped before the handler returned, and handed the task back.
    ABORTED = "aborted"
    #: Its lease expired: its server died.
    LOST = "lost"


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """One log line of a handler. `at` is in epoch seconds; `level` is "info", "warning" and so on."""

    at: float
    text: str
    level: str = "info"


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt of one task. Times are epoch seconds, 0 if unknown."""

    #: 1 for the first recorded attempt. Attempts of Go's servers leave no record and have no number.
    number: int = 0
    #: The id of the server that ran it; empty if unknown.
    worker: str = ""
    started_at: float = 0.0
    #: 0 while it runs.
    ended_at: float = 0.0
    outcome: AttemptOutcome = AttemptOutcome.RUNNING
    #: The state of the task after the attempt; None while it runs.
    then: TaskState | None = None
    #: As `TaskInfo.last_error`, and its traceback; empty for directives, timeouts and cancellations.
    error: str = ""
    traceback: str = ""
    #: The last `report_progress(...)` of this attempt as JSON.
    progress: bytes | None = None
    log: list[LogLine] = []
    #: Number of earlier lines that were dropped.
    log_dropped: int = 0

    @property
    def duration(self) -> float:
        """Seconds from start to end; 0 if one of them is unknown."""
        return max(0.0, self.ended_at - self.started_at) if self.started_at and self.ended_at else 0.0


class Log:
    """The last log lines of one attempt."""

    __slots__ = ("_lines", "_size", "dropped")

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque()
        self._size = 0
        self.dropped = 0

    def add(self, line: LogLine) -> None:
        """Add a line. The oldest lines are dropped if the log is too long."""
        # A level may be any object: a value that cannot be stored would prevent the settlement.
        line = LogLine(line.at, _cut(clean(str(line.text))), clean(str(line.level))[:MAX_LEVEL])
        self._lines.append(line)
        self._size += _weight(line)
        while len(self._lines) > MAX_LINES or self._size > MAX_LOG:
            self._size -= _weight(self._lines.popleft())
            self.dropped += 1

    def lines(self) -> list[LogLine]:
        return list(self._lines)


def clean(text: str) -> str:
    """Replace characters that UTF-8 cannot encode by `?`, so that the text can be stored."""
    return text.encode("utf-8", "replace").decode("utf-8")


def running_record(live: AttemptRecord | None, worker: str, number: int) -> AttemptRecord:
    """The record of a running attempt: the live record if there is one, else only its worker."""
    if live is None:
        return AttemptRecord(number, worker)
    return msgspec.structs.replace(live, number=number, worker=live.worker or worker)


class _Stored(AttemptRecord, frozen=True, omit_defaults=True):
    """A record as it is stored."""

    #: The error and the traceback, if they are long; these fields are then empty.
    packed: tuple[bytes, ...] = ()


#: The positions of `error` and `traceback` among the fields.
_TEXTS = slice(6, 8)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


def encode_record(record: AttemptRecord) -> bytes:
    """Encode a record to be stored."""
    error, traceback = record.error, record.traceback
    if not traceback and len(error) <= PLAIN:
        return _encode(record)
    fields = list(msgspec.structs.astuple(record))
    fields[_TEXTS] = "", ""
    fields.append(pack(error, traceback))
    return _encode(_Stored(*fields))


def decode_record(data: object, number: int = 0) -> AttemptRecord:
    """Decode a stored record and set its number. An unreadable record becomes one whose error says so."""
    try:
        _, *fields, packed = msgspec.structs.astuple(_decode(data))  # type: ignore[arg-type]
        record = AttemptRecord(number, *fields)
        if packed:
            error, traceback = unpack(packed)
            record = msgspec.structs.replace(record, error=error, traceback=traceback)
    except (msgspec.MsgspecError, TypeError, ValueError):
        return AttemptRecord(number, outcome=AttemptOutcome.FAILED, error="the stored record cannot be read")
    return record


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


def _weight(line: LogLine) -> int:
    return len(line.text.encode())
