"""What somebody who follows a task is told: the difference between two looks at it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord, LogLine
from asynqio.core.task.message import TaskInfo, TaskState


class StateChange(msgspec.Struct, frozen=True):
    """The task is in another state than before; `state` None: it is not stored any more."""

    state: TaskState | None
    #: What is known of it now.
    info: TaskInfo | None


class ProgressChange(msgspec.Struct, frozen=True):
    """The handler said how far it is."""

    #: As JSON.
    progress: bytes


TaskEvent: TypeAlias = StateChange | ProgressChange | LogLine


class Follower:
    """Remembers what was told. A state that lasted shorter than the time between two looks is not told of."""

    def __init__(self) -> None:
        self._first = True
        self._state: TaskState | None = None
        self._retried = 0
        self._progress: bytes | None = None
        #: How many lines of the attempt with this number, and of those before it, were told.
        self._number = self._lines = 0

    def look(self, info: TaskInfo | None, attempts: Sequence[AttemptRecord]) -> Iterator[TaskEvent]:
        """What is new. At the first look: the state, the progress of a running task, the lines of its attempt."""
        first, self._first = self._first, False
        state = info.state if info is not None else None
        retried = info.retried if info is not None else 0
        progress = info.progress if info is not None else None
        if first:
            self._skip(attempts)
            self._progress = None if state is TaskState.ACTIVE else progress
        moved = first or state is not self._state or retried != self._retried
        self._state, self._retried = state, retried
        # What a handler says comes after its attempt began, and before what it ended in.
        begins = first or state is TaskState.ACTIVE
        if moved and begins:
            yield StateChange(state, info)
        if progress is not None and progress != self._progress:
            self._progress = progress
            yield ProgressChange(progress)
        yield from self._new_lines(attempts)
        if moved and not begins:
            yield StateChange(state, info)

    def _skip(self, attempts: Sequence[AttemptRecord]) -> None:
        """What ended before we came is not told."""
        for run in attempts:
            if run.outcome is not AttemptOutcome.RUNNING:
                self._number, self._lines = run.number, run.log_dropped + len(run.log)

    def _new_lines(self, attempts: Sequence[AttemptRecord]) -> Iterator[LogLine]:
        for run in attempts:
            if run.number < self._number:
                continue
            told = self._lines if run.number == self._number else 0
            yield from run.log[max(0, told - run.log_dropped) :]
            self._number, self._lines = run.number, max(told, run.log_dropped + len(run.log))
