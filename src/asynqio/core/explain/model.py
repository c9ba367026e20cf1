"""What goes into an explanation of a task, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.explain.blockers import Blocker, Situation
from asynqio.core.info import GroupStats, QueueStats, ServerInfo
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.unique import LockHolder


class Facts(msgspec.Struct, frozen=True):
    """All that `explain` takes into account."""

    ref: TaskRef
    now: float
    #: None: it is not there.
    info: TaskInfo | None = None
    attempts: Sequence[AttemptRecord] = ()
    #: None: there is no such queue.
    stats: QueueStats | None = None
    servers: Sequence[ServerInfo] = ()
    #: Its group, if it waits in one and nobody has claimed it.
    group: GroupStats | None = None
    #: Who holds the uniqueness lock of its kind.
    holder: LockHolder | None = None
    #: The types that nobody is to work on in its queue, and since when.
    paused_types: Mapping[str, float] = {}
    #: The other queues that have a task of this id.
    elsewhere: Sequence[str] = ()

    @property
    def running(self) -> AttemptRecord | None:
        """The attempt that goes on, if anything is known of it."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.outcome is AttemptOutcome.RUNNING else None


class Explanation(msgspec.Struct, frozen=True):
    """Why one task is where it is, in sentences of English."""

    queue: str
    id: str
    type: str
    #: None: it is not there.
    state: TaskState | None
    situation: Situation
    happened: list[str]
    why: list[str]
    next: list[str]
    remedies: list[str]
    #: When the next thing happens by itself, in seconds since the epoch; 0 when it does not, or nobody can tell.
    next_at: float = 0.0

    def text(self) -> str:
        """The whole of it, for people."""
        about = f"{self.type} " if self.type else ""
        lines = [f"Task {about}{self.id} in queue {self.queue}: {self.state or 'not there'}"]
        parts = {
            "What happened": self.happened,
            "Why it is there" if self.state else "Why it is not there": self.why,
            "What happens next": self.next,
            "What would change that": self.remedies,
        }
        for title, sentences in parts.items():
            if sentences:
                lines += ["", title, *(f"  {sentence}" for sentence in sentences)]
        return "\n".join(lines)


class Draft(msgspec.Struct):
    """The part of an explanation that depends on the state, while it is being written."""

    situation: Situation = Situation.IN_LINE
    why: list[str] = []
    next: list[str] = []
    remedies: list[str] = []
    next_at: float = 0.0

    def block(self, found: Sequence[Blocker]) -> None:
        self.why += [obstacle.sentence for obstacle in found]
        self.remedies += [obstacle.remedy for obstacle in found]
