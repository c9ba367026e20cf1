"""Hearing what anybody does to the store, Go's servers and producers included, without asking for it.

Two connections per master, both made when they are first needed. On the one, Redis tells which keys under the
prefixes of a queue were written (client tracking, broadcast), and the calls to cancel running tasks. On the
other it tells of single tasks that somebody waits for or follows (client tracking of keys that were read).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import Signals, Topic, Watch
from asynqio.brokers.redis.connection.push import EarLink, Ears
from asynqio.brokers.redis.connection.reconnecting import RedisError
from asynqio.brokers.redis.layout.keys import CANCEL, OWN_CANCEL, queue_keys
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerError, BrokerUnavailable

log = logging.getLogger("asynqio.redis")

#: Where Redis cannot tell (a proxy, an old or foreign server), everybody looks this often.
LOOK_EVERY = 0.25
#: Calls to cancel that wait for a slow reader; older ones are dropped.
CANCELS_KEPT = 10_000
#: The states in which nothing will happen to a task by itself any more; None: it is gone.
_OVER = {b"completed", b"archived", None}


class Said(NamedTuple):
    """What a call to cancel says on our own channel, as a JSON array."""

    queue: str
    id: str
    archive: bool = False


class Listener:
    """Publishes to watches what Redis tells, on the event loop of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._signals = Signals()
        #: Exact keys, and beginnings of keys, whose change means a topic.
        self._keys: dict[bytes, Topic] = {}
        self._groups: dict[bytes, Topic] = {}
        self._prefixes: set[str] = set()
        self._awaited: dict[bytes, TaskRef] = {}
        self._cancels: list[asyncio.Queue[Cancellation]] = []
        self._said_twice: dict[str, int] = {}
        self._broadcast: Ears | None = None
        self._single: Ears | None = None
        #: The ears that are connected, and the prefixes each was asked for.
        self._up: dict[EarLink, set[str]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Be told of these; what happened before the ears are open is made up for by one signal more."""
        watch = self._signals.watch(topics)
        new = {prefix for topic in watch.topics for prefix in self._learn(topic)} - self._prefixes
        if new:
            self._prefixes |= new
            self._session.spawn(self._track())
        for topic in watch.topics:
            if topic[0] in ("ended", "changed"):
                self._await(TaskRef(*topic[1:]))
        return watch

    def _learn(self, topic: Topic) -> list[str]:
        """The prefixes to track for a topic, and what to make of their keys."""
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

    # --- the ear for queues -----------------------------------------------------------------------

    async def _track(self) -> None:
        if self._closed:
            return
        if self._broadcast is None:
            self._broadcast = self._session.redis.ears(self._heard, self._listen)
            await self._broadcast.open()
            return
        for ear in list(self._up):
            await self._ask_for_prefixes(ear)
        self._signals.publish_all()

    async def _listen(self, ear: EarLink) -> None:
        """The ear has just been (re)connected."""
        for gone in [other for other in self._up if other.where == ear.where]:
            del self._up[gone]
        self._up[ear] = set()
        await self._ask_for_prefixes(ear)
        if self._cancels:
            await self._subscribe(ear)
        self._signals.publish_all()

    async def _ask_for_prefixes(self, ear: EarLink) -> None:
        asked = self._up.get(ear)
        if asked is None or not (new := self._prefixes - asked):
            return
        asked |= new  # before anything else runs: Redis refuses to be asked for a prefix twice
        words = [word for prefix in sorted(new) for word in ("PREFIX", prefix)]
        try:
            await ear.call("CLIENT", "TRACKING", "ON", "BCAST", *words)
        except BrokerUnavailable:
            self._up.pop(ear, None)  # another one is asked when it is up again
        except BrokerError as problem:
            self._look_instead(problem)

    def _look_instead(self, problem: BrokerError) -> None:
        if self._looking is None:
            log.warning(
                "this Redis does not tell of changes (%s): looking every %g s instead", problem, LOOK_EVERY
            )
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._signals.publish_all()

    def _heard(self, frame: list[Any]) -> None:
        kind = frame[0]
        if kind == b"invalidate":
            if frame[1] is None:
                self._signals.publish_all()
                return
            topics = {topic for key in frame[1] if (topic := self._topic(key)) is not None}
            self._signals.publish(topics)
        elif kind == b"message":
            self._canceled(frame[1], frame[2])

    def _topic(self, key: bytes) -> Topic | None:
        topic = self._keys.get(key)
        if topic is None:
            for members, topic in self._groups.items():
                if key.startswith(members):
                    return topic
            return None
        return topic

    # --- the ear for single tasks -----------------------------------------------------------------

    def _await(self, ref: TaskRef) -> None:
        key = queue_keys(ref.queue).task(ref.id).encode()
        if key not in self._awaited:
            self._awaited[key] = ref
            self._session.spawn(self._ask(key))

    async def _ask(self, key: bytes) -> None:
        """Look at a task, so that we are told when it changes."""
        ref = self._awaited.get(key)
        if ref is None or self._closed:
            return
        if not (self._signals.wanted(signals.ended(ref)) or self._signals.wanted(signals.changed(ref))):
            del self._awaited[key]
            return
        if self._single is None:
            self._single = self._session.redis.ears(self._changed, self._follow)
            await self._single.open()
            return
        try:
            state = await self._single.call(key.decode(), "HGET", key, "state")
        except RedisError:
            state = None  # not a task at all: let those who wait see for themselves
        except BrokerUnavailable:
            return  # asked again when the ear is up again
        self._signals.publish([signals.changed(ref)])
        if state in _OVER:
            self._signals.publish([signals.ended(ref)])

    async def _follow(self, ear: EarLink) -> None:
        try:
            await ear.call("CLIENT", "TRACKING", "ON")
        except BrokerUnavailable:
            return
        except BrokerError as problem:
            self._look_instead(problem)
        for key in list(self._awaited):
            self._session.spawn(self._ask(key))

    def _changed(self, frame: list[Any]) -> None:
        if frame[0] != b"invalidate":
            return
        for key in list(self._awaited) if frame[1] is None else frame[1]:
            if key in self._awaited:
                self._session.spawn(self._ask(key))

    # --- calls to cancel --------------------------------------------------------------------------

    async def cancel(self, refs: Iterable[TaskRef], *, archive: bool) -> None:
        said = [
            word for ref in refs for word in (msgspec.json.encode(Said(ref.queue, ref.id, archive)), ref.id)
        ]
        if said:
            await self._session.run(LUA.cancel, [OWN_CANCEL], [OWN_CANCEL, CANCEL, *said])

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        heard: asyncio.Queue[Cancellation] = asyncio.Queue()
        self._cancels.append(heard)
        try:
            if self._broadcast is None:
                await self._track()
            elif len(self._cancels) == 1:
                for ear in list(self._up):
                    await self._subscribe(ear)
            while True:
                yield await heard.get()
        finally:
            self._cancels.remove(heard)

    async def _subscribe(self, ear: EarLink) -> None:
        if self._broadcast is not None and self._broadcast.holds(ear, OWN_CANCEL):
            try:
                await ear.subscribe(OWN_CANCEL, CANCEL)
            except BrokerUnavailable:
                self._up.pop(ear, None)

    def _canceled(self, channel: bytes, said: bytes) -> None:
        """Ours say queue and id, and then the id again for Go's servers; Go says the id only."""
        if channel == OWN_CANCEL.encode():
            queue, id, archive = msgspec.json.decode(said, type=Said)
            call = Cancellation(TaskRef(queue, id), archive)
            self._said_twice[id] = self._said_twice.get(id, 0) + 1
        else:
            id = said.decode("utf-8", "replace")
            if (count := self._said_twice.pop(id, 0)) > 0:
                if count > 1:
                    self._said_twice[id] = count - 1
                return
            call = Cancellation(TaskRef("", id))
        for heard in self._cancels:
            if heard.qsize() >= CANCELS_KEPT:
                heard.get_nowait()
            heard.put_nowait(call)

    async def close(self) -> None:
        """Hear nothing more; what has been asked for and not begun is not begun."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        for ears in (self._broadcast, self._single):
            if ears is not None:
                await ears.close()
        self._broadcast = self._single = None
        self._prefixes.clear()
        self._up.clear()
