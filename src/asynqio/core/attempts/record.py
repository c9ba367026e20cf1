"""What is kept of the attempts at a task: when, where, how each ended, and what its handler wrote.

A record is made when an attempt ends (`core/recording.py`) and stored together with that end; a task that is gone
has none. All of it is bounded, and what was dropped is counted.
"""

from __future__ import annotations

import enum
from collections import deque

import msgspec

from asynqio.core.task.message import TaskState

#: Records kept per task: the youngest.
RUNS_KEPT = 10
#: Longest traceback, in characters: its end is kept, where the error is.
MAX_TRACEBACK = 8_192
#: Lines kept per attempt, their bytes altogether, and the characters of one: the youngest lines stay.
MAX_LINES, MAX_LOG, MAX_LINE = 200, 16_384, 2_000
MAX_LEVEL = 20


class AttemptOutcome(enum.StrEnum):
    """How an attempt ended."""

    #: It goes on.
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    #: Counted as a failure.
    FAILED = "failed"
    #: Put off without being counted: `RetryIn`, or an error that `is_failure` says is none.
    DEFERRED = "deferred"
    #: The server stopped before the handler came back, and handed the task back.
    ABORTED = "aborted"
    #: Nobody renewed its lease: its server is gone.
    LOST = "lost"


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """One thing that a handler said. `at`: seconds since the epoch. `level`: "info", "warning" …"""

    at: float
    text: str
    level: str = "info"


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt at one task. Times are seconds since the epoch, 0 when nobody knows."""

    #: 1 is the first that was recorded; attempts by Go's servers leave no record and take no number.
    number: int = 0
    #: The id of the server that ran it; empty when nobody knows.
    worker: str = ""
    started_at: float = 0.0
    #: 0 while it goes on.
    ended_at: float = 0.0
    outcome: AttemptOutcome = AttemptOutcome.RUNNING
    #: What became of the task; None while the attempt goes on.
    then: TaskState | None = None
    #: As `TaskInfo.last_error`, and where it came from; empty for directives, timeouts, cancellations.
    error: str = ""
    traceback: str = ""
    #: The last `report_progress(...)` of this attempt, as JSON.
    progress: bytes | None = None
    log: list[LogLine] = []
    #: Lines that came before those in `log` and were dropped.
    log_dropped: int = 0

    @property
    def duration(self) -> float:
        """Seconds from start to end; 0 when one of them is not known."""
        return max(0.0, self.ended_at - self.started_at) if self.started_at and self.ended_at else 0.0


class Log:
    """The last lines of one attempt."""

    __slots__ = ("_lines", "_size", "dropped")

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque()
        self._size = 0
        self.dropped = 0

    def add(self, line: LogLine) -> None:
        """Keep a line; the oldest ones go if there are too many."""
        # Whatever a handler calls a level: what cannot be stored would cost the task its settlement.
        line = LogLine(line.at, _cut(clean(str(line.text))), clean(str(line.level))[:MAX_LEVEL])
        self._lines.append(line)
        self._size += _weight(line)
        while len(self._lines) > MAX_LINES or self._size > MAX_LOG:
            self._size -= _weight(self._lines.popleft())
            self.dropped += 1

    def lines(self) -> list[LogLine]:
        return list(self._lines)


def clean(text: str) -> str:
    """The text as something that can be stored: what is not Unicode becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def tail(trace: str) -> str:
    """The end of a traceback, with a word on what is missing."""
    trace = clean(trace)
    if len(trace) <= MAX_TRACEBACK:
        return trace
    told = f"… {len(trace) - MAX_TRACEBACK} characters left out …\n"
    return told + trace[len(trace) - MAX_TRACEBACK + len(told) :]


def running_record(live: AttemptRecord | None, worker: str, number: int) -> AttemptRecord:
    """The record of the attempt that goes on: what it left itself, or at least whose it is."""
    if live is None:
        return AttemptRecord(number, worker)
    return msgspec.structs.replace(live, number=number, worker=live.worker or worker)


encode_record = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AttemptRecord).decode


def decode_record(data: object, number: int = 0) -> AttemptRecord:
    """A stored record, with the number under which it was found. What cannot be read says so."""
    try:
        record = _decode(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError):
        record = AttemptRecord(outcome=AttemptOutcome.FAILED, error="the stored record cannot be read")
    return msgspec.structs.replace(record, number=number)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


def _weight(line: LogLine) -> int:
    return len(line.text.encode())
