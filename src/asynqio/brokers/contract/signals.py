"""How brokers wake those who wait: topics, and watches on them.

A watch remembers what happened since its last `wait`, so nothing is missed between looking and waiting.
Signals are hints that something *may* be there; they carry no data and no authority. Publishing is safe
from any thread; a watch belongs to the event loop that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Self, TypeAlias

from asynqio.core.task.message import TaskRef

#: What can be waited for: ("pending", queue), ("due", queue), ("grouped", queue), ("types", queue),
#: ("ended", queue, id), ("changed", queue, id).
Topic: TypeAlias = tuple[str, ...]


def pending(queue: str) -> Topic:
    """A task became PENDING in the queue, or the queue was resumed."""
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
    """The task became COMPLETED or ARCHIVED, or is gone."""
    return ("ended", ref.queue, ref.id)


def changed(ref: TaskRef) -> Topic:
    """The task went to another state, is gone, or its handler left something: progress, a result, log lines."""
    return ("changed", ref.queue, ref.id)


class Watch:
    """A subscription to some topics, from its making to `close`. Use it in a `with` block."""

    def __init__(self, signals: Signals, topics: Iterable[Topic]) -> None:
        self.topics = tuple(topics)
        self._signals = signals
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._set = False
        self._waiter: asyncio.Future[None] | None = None
        signals._add(self)

    async def wait(self, timeout: float | None = None) -> bool:
        """Until something was published since the last call, or for `timeout` seconds. True: something was."""
        if not self._set and (timeout is None or timeout > 0):
            self._waiter = self._loop.create_future()
            timer = None if timeout is None else self._loop.call_later(timeout, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        happened, self._set = self._set, False
        return happened

    def clear(self) -> None:
        """Forget what was published so far."""
        self._set = False

    def notify(self) -> None:
        """Something happened. From any thread."""
        if self._set:
            return
        if threading.get_ident() == self._thread:
            self._set = True
            self._wake()
        else:
            # RuntimeError: the loop is closed, so nobody waits. It may close at any moment, so asking first
            # would not do; and the publisher, whose work is done, must not get an exception for it.
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
        self._watches: dict[Topic, tuple[Watch, ...]] = {}
        self._kinds: Counter[str] = Counter()
        self._lock = threading.Lock()

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """A new watch. It sees everything published from now on."""
        return Watch(self, topics)

    def publish(self, topics: Iterable[Topic]) -> None:
        """Wake whoever watches one of the topics."""
        if not self._watches:
            return
        for topic in topics:
            for watch in self._watches.get(topic, ()):
                watch.notify()

    def publish_all(self, kind: str = "") -> None:
        """Wake everybody (of one kind of topic): used when it is not known what happened."""
        for topic in tuple(self._watches):
            if not kind or topic[0] == kind:
                self.publish([topic])

    def wanted(self, topic: Topic) -> bool:
        """Whether anybody watches this very topic."""
        return topic in self._watches

    def watched(self, kind: str) -> bool:
        """Whether anybody watches a topic of this kind."""
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
