"""One task as the memory broker stores it."""

from __future__ import annotations

from asynqio.core.attempts.record import RUNS_KEPT, AttemptRecord, decode_record, encode_record
from asynqio.core.task.message import TaskMessage, TaskState


class Record:
    """One stored task."""

    __slots__ = (
        "at",
        "batch",
        "live",
        "message",
        "number",
        "owner",
        "pending_since",
        "progress",
        "result",
        "run_count",
        "runs",
        "state",
        "token",
    )

    def __init__(self, message: TaskMessage) -> None:
        self.message = message
        self.state = TaskState.PENDING
        #: ACTIVE: lease expiry. SCHEDULED, RETRY: due. COMPLETED: expiry. ARCHIVED, AGGREGATING: since.
        self.at = 0.0
        #: Order among equal times, by arrival in the state; negative at the front. An active task keeps the number
        #: that it had while pending.
        self.number = 0
        #: The number of the dequeue that leased it; 0 when it is not active.
        self.token = 0
        self.owner = ""
        self.pending_since = 0.0
        #: The id of the claimed batch that an AGGREGATING task belongs to.
        self.batch = ""
        self.result: bytes | None = None
        self.progress: bytes | None = None
        #: Encoded records of the last attempts that ended, oldest first, and the number of all of them.
        self.runs: tuple[bytes, ...] = ()
        self.run_count = 0
        #: The live record of the running attempt.
        self.live: AttemptRecord | None = None

    @property
    def next_number(self) -> int:
        """The number of the next attempt."""
        return self.run_count + 1

    def add_run(self, run: AttemptRecord) -> None:
        """Store the record of an attempt that ended."""
        self.runs = (*self.runs[1 - RUNS_KEPT :], encode_record(run))
        self.run_count += 1

    def attempts(self) -> list[AttemptRecord]:
        """The records of the last attempts that ended, oldest first."""
        first = self.next_number - len(self.runs)
        return [decode_record(run, first + at) for at, run in enumerate(self.runs)]
