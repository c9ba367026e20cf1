"""The demo's own record of every task, independent of the broker.

The summary compares the two: each accepted task is done, merged into a digest, archived or waiting; otherwise it is
lost.
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

#: Header with the id of a task, for aggregators, which get tasks without their ids.
ID_HEADER = "demo-id"
#: Latencies are computed over the last SAMPLES tasks of a type.
SAMPLES = 2_000


class Waiting(NamedTuple):
    """A task that was accepted and has not completed."""

    type: str
    queue: str
    #: When it was enqueued (monotonic). None if it was delayed or has started.
    since: float | None


class Event(NamedTuple):
    """A line of the display."""

    at: float
    kind: str
    text: str


@dataclass
class Counters:
    """Counters of one task type, or of all."""

    enqueued: int = 0
    done: int = 0
    merged: int = 0
    retries: int = 0
    failures: int = 0
    refused: int = 0
    #: Seconds from enqueue to start.
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add(self, other: Counters) -> None:
        for name in ("enqueued", "done", "merged", "retries", "failures", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.starts = deque([*self.starts, *other.starts])


class Ledger:
    """Filled by the traffic and by the hooks of the App, on one event loop."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.by_type: dict[str, Counters] = {}
        self.waiting: dict[str, Waiting] = {}
        #: Tasks whose enqueueing was interrupted: only a look-up tells whether they were accepted.
        self.doubtful: set[str] = set()
        self.events: deque[Event] = deque(maxlen=50)
        #: Internal errors, which must not happen.
        self.unexpected: list[str] = []

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def total(self) -> Counters:
        total = Counters()
        for counters in self.by_type.values():
            total.add(counters)
        return total

    def add_event(self, kind: str, text: str) -> None:
        self.events.append(Event(self.seconds, kind, text))

    # --- called by the traffic --------------------------------------------------------------------

    def expect(self, type: str, queue: str, *, prompt: bool = True) -> str:
        """Record a task that is about to be enqueued. Returns its id. `prompt`: it may start at once."""
        id = uuid.uuid4().hex
        self.waiting[id] = Waiting(type, queue, time.monotonic() if prompt else None)
        self._of(type).enqueued += 1
        return id

    def refuse(self, id: str) -> None:
        """Record that the task was refused as a duplicate."""
        self._of(self.forget(id)).refused += 1

    def forget(self, id: str) -> str:
        """Remove a task that was never accepted. Returns its type."""
        type = self.waiting.pop(id).type
        self._of(type).enqueued -= 1
        return type

    @contextlib.contextmanager
    def enqueueing(self, *ids: str) -> Iterator[None]:
        """Surrounds the call of the broker: if it is interrupted, the tasks are doubtful."""
        try:
            yield
        except EnqueueError:
            raise
        except BaseException:
            self.doubtful.update(ids)
            raise

    # --- called by the worker ---------------------------------------------------------------------

    async def observe(self, task: Task, call_next: Callable[[Task], Awaitable[Any]]) -> Any:
        """Middleware: record every attempt."""
        context, counters = current(), self._of(task.type)
        entry = self.waiting.get(context.id)
        if context.retried:
            counters.retries += 1
        elif entry is not None and entry.since is not None:
            counters.starts.append(time.monotonic() - entry.since)
        if entry is not None:
            self.waiting[context.id] = entry._replace(since=None)
        try:
            result = await call_next(task)
        except RetryIn as deferral:
            self.add_event("deferred", f"{task.type}: {deferral}; retry in {deferral.seconds:g} s")
            raise
        except SkipRetry as error:
            self._of(task.type).failures += 1
            self.add_event("archived", f"{task.type}: {error}")
            raise
        if self.waiting.pop(context.id, None) is not None:
            counters.done += 1
            if context.retried:
                self.add_event("recovered", f"{task.type} done at attempt {context.retried + 1}")
        return result

    def failed(self, task: Task, error: BaseException, final: bool) -> None:
        """Error hook: record a failed attempt."""
        context = current()
        self._of(task.type).failures += 1
        if final:
            self.add_event(
                "archived", f"{task.type}: {error}, no retry left after {context.retried + 1} attempts"
            )
        else:
            self.add_event(
                "failed", f"{task.type}: {error}, attempt {context.retried + 1} of {context.max_retry + 1}"
            )

    def merge(self, members: Sequence[Task], type: str, queue: str) -> str:
        """Record that the members of a group became one task. Returns its id."""
        for id in self._ids(members):
            entry = self.waiting.pop(id, None)
            if entry is not None:
                self._of(entry.type).merged += 1
        self.add_event("merged", f"{len(members)} news items became one {type}")
        return self.expect(type, queue)

    def _ids(self, members: Sequence[Task]) -> Iterable[str]:
        return (member.headers.get(ID_HEADER, "") for member in members)

    def _of(self, type: str) -> Counters:
        return self.by_type.setdefault(type, Counters())


def percentile(samples: Iterable[float], share: float) -> float:
    """The value that `share` (0 to 1) of the samples do not exceed. 0 without samples."""
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
