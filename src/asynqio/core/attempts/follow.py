"""Turns snapshots of a task into events for a follower. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord, LogLine
from asynqio.core.task.message import TaskInfo, TaskState


class StateChange(msgspec.Struct, frozen=True):
    """The state or the number of retries changed. `state` is None if the task is no longer stored."""

    state: TaskState | None
    #: The task now; None if it is no longer stored.
    info: TaskInfo | None


class ProgressChange(msgspec.Struct, frozen=True):
    """The handler reported progress."""

    #: JSON.
    progress: bytes


TaskEvent: TypeAlias = StateChange | ProgressChange | LogLine


class Follower:
    """Compares each snapshot with the previous one. A state between two snapshots is not reported."""

    def __init__(self) -> None:
        self._first = True
        self._state: TaskState | None = None
        self._retried = 0
        self._progress: bytes | None = None
        #: The attempt whose lines were reported last, and how many of them.
        self._number = self._lines = 0

    def update(self, info: TaskInfo | None, attempts: Sequence[AttemptRecord]) -> Iterator[TaskEvent]:
        """The new events. The first snapshot reports the state, and of a running attempt the progress and the log."""
        first, self._first = self._first, False
        state = info.state if info is not None else None
        retried = info.retried if info is not None else 0
        progress = info.progress if info is not None else None
        if first:
            self._skip(attempts)
            self._progress = None if state is TaskState.ACTIVE else progress
        changed = first or state is not self._state or retried != self._retried
        self._state, self._retried = state, retried
        # Progress and log lines of an attempt come after its start and before its end.
        begins = first or state is TaskState.ACTIVE
        if changed and begins:
            yield StateChange(state, info)
        if progress is not None and progress != self._progress:
            self._progress = progress
            yield ProgressChange(progress)
        yield from self._new_lines(attempts)
        if changed and not begins:
            yield StateChange(state, info)

    def _skip(self, attempts: Sequence[AttemptRecord]) -> None:
        """Skip the log lines of attempts that ended before the first snapshot."""
        for run in attempts:
            if run.outcome is not AttemptOutcome.RUNNING:
                self._number, self._lines = run.number, run.log_dropped + len(run.log)

    def _new_lines(self, attempts: Sequence[AttemptRecord]) -> Iterator[LogLine]:
        for run in attempts:
            if run.number < self._number:
                continue
            reported = self._lines if run.number == self._number else 0
            yield from run.log[max(0, reported - run.log_dropped) :]
            self._number, self._lines = run.number, max(reported, run.log_dropped + len(run.log))
