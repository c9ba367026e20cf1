"""Signals: how brokers notify waiting callers, by topics and watches on them.

A watch remembers signals since its last `wait`, so none is missed between reading the store and waiting. A signal is
a hint that something *may* have changed; it carries no data. Publishing is safe from any thread; a watch belongs to
the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, Self, TypeAlias

from asynqio.core.task.message import TaskRef, TaskState

#: What a watch can wait for: ("pending", queue), ("due", queue), ("grouped", queue), ("types", queue),
#: ("ended", queue, id), ("changed", queue, id).
Topic: TypeAlias = tuple[str, ...]


def pending(queue: str) -> Topic:
    """A task became PENDING in the queue, or the queue was resumed. Not published if the task was taken meanwhile."""
    return ("pending", queue)


def due(queue: str) -> Topic:
    """A task became SCHEDULED or RETRY in the queue."""
    return ("due", queue)


def grouped(queue: str) -> Topic:
    """A task became AGGREGATING in the queue."""
    return ("grouped", queue)


def types(queue: str) -> Topic:
    """A task type of the queue was paused or resumed."""
    return ("types", queue)


def ended(ref: TaskRef) -> Topic:
    """The task became COMPLETED or ARCHIVED, or was deleted."""
    return ("ended", ref.queue, ref.id)


def changed(ref: TaskRef) -> Topic:
    """The task changed its state, was deleted, or its handler wrote output: progress, a result, log lines."""
    return ("changed", ref.queue, ref.id)


#: Kinds of topics by the state that a task enters.
_KINDS = {
    TaskState.PENDING: "pending",
    TaskState.SCHEDULED: "due",
    TaskState.RETRY: "due",
    TaskState.AGGREGATING: "grouped",
}


def entered(state: TaskState, queue: str) -> Topic:
    """The topic of a waiting task that entered a state of a queue."""
    return (_KINDS[state], queue)


class DueQueues(NamedTuple):
    """Queues with due tasks, and when the first task of the others is due (infinity: never)."""

    queues: list[str]
    next_at: float


class Source(Protocol):
    """What a store does for watches if changes are reported to it only on request."""

    def waits(self, watch: Watch) -> None:
        """The watch begins to wait."""
        ...

    def is_tracked(self, watch: Watch) -> bool:
        """See Watch.is_tracked."""
        ...

    def due_queues(self, watch: Watch, now: float) -> DueQueues | None:
        """See Watch.due_queues."""
        ...


class Watch:
    """A subscription to topics, from its creation to `close`. Use it in a `with` block."""

    def __init__(self, signals: Signals, topics: Iterable[Topic]) -> None:
        self.topics = tuple(topics)
        #: Whether other waiting watches, of other processes too, should act first if the store can arrange it.
        self.yields: Callable[[], bool] = bool
        self._signals = signals
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._set = False
        self._waiter: asyncio.Future[None] | None = None
        signals._add(self)

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until a topic was published since the last call, at most `timeout` seconds. False: none was."""
        if not self._set and (timeout is None or timeout > 0):
            self._waiter = self._loop.create_future()
            if self._signals.source is not None:
                self._signals.source.waits(self)
            timer = None if timeout is None else self._loop.call_later(timeout, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        happened, self._set = self._set, False
        return happened

    @property
    def is_waiting(self) -> bool:
        """Whether a caller waits."""
        return self._waiter is not None

    @property
    def is_tracked(self) -> bool:
        """Whether the store certainly reports any change: then there is nothing new until the next signal."""
        return self._signals.source is not None and self._signals.source.is_tracked(self)

    def due_queues(self, now: float) -> DueQueues | None:
        """Which of the queues whose `due` is watched have a task that is due now, if the store knows without a call;
        else None."""
        return None if self._signals.source is None else self._signals.source.due_queues(self, now)

    def clear(self) -> None:
        """Discard the signals received so far."""
        self._set = False

    def notify(self) -> None:
        """Record a signal and wake the waiting caller. Callable from any thread."""
        if self._set:
            return
        if threading.get_ident() == self._thread:
            self._set = True
            self._wake()
        else:
            # RuntimeError: the loop is closed, so no caller waits. It may close at any moment, so a check before the
            # call cannot prevent this; and the publisher must not fail because of it.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._mark)

    def _mark(self) -> None:
        self._set = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        self._signals._remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Signals:
    """The watches of one broker, by topic."""

    def __init__(self) -> None:
        self.source: Source | None = None
        self._watches: dict[Topic, tuple[Watch, ...]] = {}
        self._kinds: Counter[str] = Counter()
        self._lock = threading.Lock()

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """A new watch. It receives every signal published from now on."""
        return Watch(self, topics)

    def publish(self, topics: Iterable[Topic]) -> None:
        """Notify the watches of these topics."""
        if not self._watches:
            return
        for topic in topics:
            for watch in self._watches.get(topic, ()):
                watch.notify()

    def publish_all(self, kind: str = "") -> None:
        """Notify all watches (of one kind of topic): used when it is unknown what changed."""
        for topic in tuple(self._watches):
            if not kind or topic[0] == kind:
                self.publish([topic])

    def wanted(self, topic: Topic) -> bool:
        """Whether a watch on exactly this topic is open."""
        return topic in self._watches

    def has(self, topic: Topic, watch: Watch) -> bool:
        """Whether this watch is open on this topic."""
        return watch in self._watches.get(topic, ())

    def waiting(self, topic: Topic) -> list[Watch]:
        """The watches on this topic that a caller waits for."""
        return [watch for watch in self._watches.get(topic, ()) if watch.is_waiting]

    def watched(self, kind: str) -> bool:
        """Whether a watch on a topic of this kind is open."""
        return self._kinds[kind] > 0

    def _add(self, watch: Watch) -> None:
        with self._lock:
            for topic in watch.topics:
                self._watches[topic] = (*self._watches.get(topic, ()), watch)
                self._kinds[topic[0]] += 1

    def _remove(self, watch: Watch) -> None:
        with self._lock:
            for topic in watch.topics:
                watches = self._watches.get(topic, ())
                left = tuple(other for other in watches if other is not watch)
                self._kinds[topic[0]] -= len(watches) - len(left)
                if left:
                    self._watches[topic] = left
                else:
                    self._watches.pop(topic, None)
