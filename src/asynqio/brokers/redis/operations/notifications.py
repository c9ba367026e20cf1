"""Notifications of changes in Redis, by any client including Go's, without polling.

Two push connections per master, both opened when first needed. On one, Redis reports which keys with the prefixes of
a queue were written (client tracking in broadcast mode), and cancellation requests. On the other it reports changes
of single tasks that a caller waits for or follows (client tracking of keys that were read).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import Signals, Topic, Watch
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.connection.push import PushConnection, PushConnections
from asynqio.brokers.redis.layout.keys import CANCEL, OWN_CANCEL, queue_keys
from asynqio.brokers.redis.operations.cancellations import Cancellations, publish
from asynqio.brokers.redis.session import Session
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerError, BrokerUnavailable

log = logging.getLogger("asynqio.redis")

#: Seconds between two polls, where Redis does not support client tracking (a proxy, an old or foreign server).
POLL_EVERY = 0.25
#: The states in which a task does not change without an operator; None: it does not exist.
_ENDED = {b"completed", b"archived", None}


class Notifications:
    """Publishes the changes that Redis reports to watches, on the event loop of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._signals = Signals()
        #: Keys, and prefixes of keys, whose change means a topic.
        self._keys: dict[bytes, Topic] = {}
        self._groups: dict[bytes, Topic] = {}
        self._prefixes: set[str] = set()
        self._awaited: dict[bytes, TaskRef] = {}
        self._cancellations = Cancellations(session.settings.db)
        self._broadcast: PushConnections | None = None
        self._single: PushConnections | None = None
        #: The open connections of `_broadcast`, and the prefixes that each one tracks.
        self._tracking: dict[PushConnection, set[str]] = {}
        self._polling: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Watch these topics. Changes before the connections are open are covered by one extra signal."""
        watch = self._signals.watch(topics)
        new = {prefix for topic in watch.topics for prefix in self._add_topic(topic)} - self._prefixes
        if new:
            self._prefixes |= new
            self._session.background.spawn(self._track())
        for topic in watch.topics:
            if topic[0] in ("ended", "changed"):
                self._await_task(TaskRef(*topic[1:]))
        return watch

    def _add_topic(self, topic: Topic) -> list[str]:
        """Map the keys of a topic to it. Returns the prefixes to track."""
        kind, name = topic[0], topic[1] if len(topic) > 1 else ""
        queue = queue_keys(name)
        keys = {
            "pending": [queue.pending, queue.paused],
            "due": [queue.scheduled, queue.retry],
            "grouped": [queue.groups, queue.flushed],
            "types": [queue.paused_types],
        }.get(kind, [])
        for key in keys:
            self._keys[key.encode()] = topic
        if kind == "grouped":
            members = queue.group("")
            self._groups[members.encode()] = topic
            keys = [*keys, members]
        return keys

    # --- queues -----------------------------------------------------------------------------------

    async def _track(self) -> None:
        if self._closed:
            return
        if self._broadcast is None:
            self._broadcast = self._session.redis.push_connections(self._receive, self._set_up_broadcast)
            await self._broadcast.open()
            return
        for push in list(self._tracking):
            await self._track_prefixes(push)
        self._signals.publish_all()

    async def _set_up_broadcast(self, push: PushConnection) -> None:
        for stale in [other for other in self._tracking if other.where == push.where]:
            del self._tracking[stale]
        self._tracking[push] = set()
        await self._track_prefixes(push)
        if self._cancellations:
            await self._subscribe(push)
        self._signals.publish_all()

    async def _track_prefixes(self, push: PushConnection) -> None:
        tracked = self._tracking.get(push)
        if tracked is None or not (new := self._prefixes - tracked):
            return
        tracked |= new  # before the next await: Redis rejects a prefix that is tracked already
        args = [arg for prefix in sorted(new) for arg in ("PREFIX", prefix)]
        try:
            await push.call("CLIENT", "TRACKING", "ON", "BCAST", *args)
        except BrokerUnavailable:
            self._tracking.pop(push, None)  # the next connection tracks the prefixes
        except BrokerError as error:
            self._start_polling(error)

    def _start_polling(self, error: BrokerError) -> None:
        if self._polling is None:
            log.warning(
                "this Redis does not support client tracking (%s): polling every %g s instead",
                error,
                POLL_EVERY,
                extra={"event": "polling_started", "error": str(error), "poll_every": POLL_EVERY},
            )
            self._polling = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_EVERY)
            self._signals.publish_all()

    def _receive(self, frame: list[Any]) -> None:
        kind = frame[0]
        if kind == b"invalidate":
            if frame[1] is None:
                self._signals.publish_all()
                return
            topics = {topic for key in frame[1] if (topic := self._topic(key)) is not None}
            self._signals.publish(topics)
        elif kind == b"message":
            self._cancellations.receive(frame[1], frame[2])

    def _topic(self, key: bytes) -> Topic | None:
        topic = self._keys.get(key)
        if topic is None:
            for members, topic in self._groups.items():
                if key.startswith(members):
                    return topic
            return None
        return topic

    # --- single tasks -----------------------------------------------------------------------------

    def _await_task(self, ref: TaskRef) -> None:
        key = queue_keys(ref.queue).task(ref.id).encode()
        if key not in self._awaited:
            self._awaited[key] = ref
            self._session.background.spawn(self._read_state(key))

    async def _read_state(self, key: bytes) -> None:
        """Read the state of a task, so that Redis reports its next change."""
        ref = self._awaited.get(key)
        if ref is None or self._closed:
            return
        if not (self._signals.wanted(signals.ended(ref)) or self._signals.wanted(signals.changed(ref))):
            del self._awaited[key]
            return
        if self._single is None:
            self._single = self._session.redis.push_connections(self._task_changed, self._set_up_single)
            await self._single.open()
            return
        try:
            state = await self._single.call(key.decode(), "HGET", key, "state")
        except RedisError:
            state = None  # not a hash: notify, so that waiting callers read it themselves
        except BrokerUnavailable:
            return  # read again when the connection is up
        self._signals.publish([signals.changed(ref)])
        if state in _ENDED:
            self._signals.publish([signals.ended(ref)])

    async def _set_up_single(self, push: PushConnection) -> None:
        try:
            await push.call("CLIENT", "TRACKING", "ON")
        except BrokerUnavailable:
            return
        except BrokerError as error:
            self._start_polling(error)
        for key in list(self._awaited):
            self._session.background.spawn(self._read_state(key))

    def _task_changed(self, frame: list[Any]) -> None:
        if frame[0] != b"invalidate":
            return
        for key in list(self._awaited) if frame[1] is None else frame[1]:
            if key in self._awaited:
                self._session.background.spawn(self._read_state(key))

    # --- cancellation -----------------------------------------------------------------------------

    async def cancel(self, refs: Iterable[TaskRef], *, archive: bool) -> None:
        """See Broker.cancel."""
        await publish(self._session, refs, archive=archive)

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        """See Broker.cancellations."""
        with self._cancellations.reader() as requests:
            if self._broadcast is None:
                await self._track()
            elif len(self._cancellations) == 1:
                for push in list(self._tracking):
                    await self._subscribe(push)
            while True:
                yield await requests.get()

    async def _subscribe(self, push: PushConnection) -> None:
        if self._broadcast is not None and self._broadcast.is_current(push, OWN_CANCEL):
            try:
                await push.subscribe(OWN_CANCEL, CANCEL)
            except BrokerUnavailable:
                self._tracking.pop(push, None)

    async def close(self) -> None:
        """Stop receiving. Work that was scheduled but has not started does nothing."""
        self._closed = True
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
            self._polling = None
        for connections in (self._broadcast, self._single):
            if connections is not None:
                await connections.close()
        self._broadcast = self._single = None
        self._prefixes.clear()
        self._tracking.clear()
