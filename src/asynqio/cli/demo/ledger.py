"""What was enqueued and what became of it: the demo's own books, kept apart from the broker's.

They are what the final account is checked against: every task that was accepted is done, merged into a
digest, archived or waiting; one that is none of these is lost.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from asynqio import EnqueueError, RetryIn, SkipRetry, Task, current

#: Carries a task's id to where only the task is seen (the members of a group).
ID_HEADER = "demo-id"
#: Latencies are taken over so many of the last tasks of a kind.
SAMPLES = 2_000


class Waiting(NamedTuple):
    """A task that was accepted and is not done yet."""

    type: str
    queue: str
    #: When it was enqueued (monotonic); None: it was delayed or has started before.
    since: float | None


class Event(NamedTuple):
    """Something worth a line."""

    at: float
    kind: str
    text: str


@dataclass
class Figures:
    """Counters of one kind of task, or of all."""

    enqueued: int = 0
    done: int = 0
    merged: int = 0
    retries: int = 0
    failures: int = 0
    refused: int = 0
    #: Seconds from enqueue to start.
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add(self, other: Figures) -> None:
        for name in ("enqueued", "done", "merged", "retries", "failures", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.starts = deque([*self.starts, *other.starts])


class Ledger:
    """Fed by the generator and by the app's hooks, all on one event loop."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.kinds: dict[str, Figures] = {}
        self.waiting: dict[str, Waiting] = {}
        #: Enqueueing was cut short: taken or not, nobody knows before it is looked up.
        self.doubtful: set[str] = set()
        self.events: deque[Event] = deque(maxlen=50)
        #: What must not happen in a demo: errors of the machinery.
        self.unexpected: list[str] = []

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def total(self) -> Figures:
        total = Figures()
        for figures in self.kinds.values():
            total.add(figures)
        return total

    def note(self, kind: str, text: str) -> None:
        self.events.append(Event(self.seconds, kind, text))

    # --- the generator's side ---------------------------------------------------------------------

    def expect(self, type: str, queue: str, *, prompt: bool = True) -> str:
        """A task is about to be enqueued: its id. `prompt`: it may start at once."""
        id = uuid.uuid4().hex
        self.waiting[id] = Waiting(type, queue, time.monotonic() if prompt else None)
        self._of(type).enqueued += 1
        return id

    def refuse(self, id: str) -> None:
        """It was not accepted: a unique one exists already."""
        self._of(self.forget(id)).refused += 1

    def forget(self, id: str) -> str:
        """It was never accepted: its type."""
        type = self.waiting.pop(id).type
        self._of(type).enqueued -= 1
        return type

    @contextlib.contextmanager
    def asking(self, *ids: str) -> Iterator[None]:
        """While the broker is asked to accept them: without its answer one cannot know."""
        try:
            yield
        except EnqueueError:
            raise
        except BaseException:
            self.doubtful.update(ids)
            raise

    # --- the worker's side ------------------------------------------------------------------------

    async def observe(self, task: Task, call_next: Callable[[Task], Awaitable[Any]]) -> Any:
        """Middleware around every attempt."""
        context, figures = current(), self._of(task.type)
        entry = self.waiting.get(context.id)
        if context.retried:
            figures.retries += 1
        elif entry is not None and entry.since is not None:
            figures.starts.append(time.monotonic() - entry.since)
        if entry is not None:
            self.waiting[context.id] = entry._replace(since=None)
        try:
            result = await call_next(task)
        except RetryIn as later:
            self.note("postponed", f"{task.type}: {later}; again in {later.seconds:g} s")
            raise
        except SkipRetry as refusal:
            self._of(task.type).failures += 1
            self.note("archived", f"{task.type}: {refusal}")
            raise
        if self.waiting.pop(context.id, None) is not None:
            figures.done += 1
            if context.retried:
                self.note("recovered", f"{task.type} done at try {context.retried + 1}")
        return result

    def failed(self, task: Task, error: BaseException, final: bool) -> None:
        """The app's error hook."""
        context = current()
        self._of(task.type).failures += 1
        if final:
            self.note("archived", f"{task.type}: {error}, given up after {context.retried + 1} tries")
        else:
            self.note("failed", f"{task.type}: {error}, try {context.retried + 1} of {context.max_retry + 1}")

    def merge(self, members: Sequence[Task], type: str, queue: str) -> str:
        """Members of a group become one task: its id."""
        for id in self._ids(members):
            entry = self.waiting.pop(id, None)
            if entry is not None:
                self._of(entry.type).merged += 1
        self.note("merged", f"{len(members)} news became one {type}")
        return self.expect(type, queue)

    def _ids(self, members: Sequence[Task]) -> Iterable[str]:
        return (member.headers.get(ID_HEADER, "") for member in members)

    def _of(self, type: str) -> Figures:
        return self.kinds.setdefault(type, Figures())


def percentile(samples: Iterable[float], share: float) -> float:
    """The value that `share` of the samples do not exceed; 0 without samples."""
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
