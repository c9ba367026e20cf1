"""The input and the output of `explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.explain.blockers import Blocker, Situation
from asynqio.core.info import GroupStats, QueueStats, ServerInfo
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder


class Facts(msgspec.Struct, frozen=True):
    """The facts that `explain` considers."""

    ref: TaskRef
    now: float
    #: None if the task was not found.
    info: TaskInfo | None = None
    attempts: Sequence[AttemptRecord] = ()
    #: None if the queue does not exist.
    stats: QueueStats | None = None
    servers: Sequence[ServerInfo] = ()
    #: The group in which the task waits, unless a server has claimed the task.
    group: GroupStats | None = None
    #: The holder of the uniqueness lock of the task.
    holder: LockHolder | None = None
    #: The paused types of the queue, and since when each is paused.
    paused_types: Mapping[str, float] = {}
    #: Other queues that have a task with this id.
    elsewhere: Sequence[str] = ()

    @property
    def running(self) -> AttemptRecord | None:
        """The record of the running attempt, if there is one."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.outcome is AttemptOutcome.RUNNING else None


class Explanation(msgspec.Struct, frozen=True):
    """Why one task is in its state, in English sentences."""

    queue: str
    id: str
    type: str
    #: None if the task was not found.
    state: TaskState | None
    situation: Situation
    happened: list[str]
    why: list[str]
    next: list[str]
    remedies: list[str]
    #: When the next event occurs without intervention, in epoch seconds; 0 if there is none or it is unknown.
    next_at: float = 0.0

    def text(self) -> str:
        """The explanation as one text with headings."""
        about = f"{self.type} " if self.type else ""
        lines = [f"Task {about}{self.id} in queue {self.queue}: {self.state or 'not found'}"]
        parts = {
            "What happened": self.happened,
            "Why it is in this state" if self.state else "Why it was not found": self.why,
            "What happens next": self.next,
            "What you can do": self.remedies,
        }
        for title, sentences in parts.items():
            if sentences:
                lines += ["", title, *(f"  {sentence}" for sentence in sentences)]
        return "\n".join(lines)


class Draft(msgspec.Struct):
    """The state-dependent part of an explanation under construction."""

    situation: Situation = Situation.WAITING_FOR_SLOT
    why: list[str] = []
    next: list[str] = []
    remedies: list[str] = []
    next_at: float = 0.0

    def block(self, found: Sequence[Blocker]) -> None:
        """Add blockers and their remedies."""
        self.why += [blocker.sentence for blocker in found]
        self.remedies += [blocker.remedy for blocker in found]


def advise(action: str, command: str, ref: TaskRef) -> str:
    """A remedy with the command and the Python call that apply it to one task."""
    queue = "" if ref.queue == "default" else f", queue={ref.queue!r}"
    call = f"inspector.{command}({ref.id!r}{queue})"
    return f"{action}: `asynqio task {command} {ref.id} --queue {ref.queue}` or `{call}`."
