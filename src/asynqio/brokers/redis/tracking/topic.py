"""One topic of one queue: its keys, what was read of them, and whether Redis reports their next change."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.connection.push import PushConnection
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.core.election import Election

#: The longest time in seconds that a server waits before it looks whether a reported task is still pending.
LONGEST_WAIT = 0.002
#: Groups of one queue whose members are tracked one by one. A change of another group is found when its time comes.
GROUPS_TRACKED = 128

#: The command that reads a key, around the key. None: only whether it changes matters.
Reading: TypeAlias = "tuple[str, tuple[Arg, ...]] | None"

_LENGTH: Reading = ("LLEN", ())
_EXISTS: Reading = ("EXISTS", ())
_FIRST: Reading = ("ZRANGE", (0, 0, "WITHSCORES"))
_NAMES: Reading = ("SSCAN", (0, "COUNT", GROUPS_TRACKED))


def keys_of(topic: Topic) -> dict[bytes, Reading]:
    """The keys of the topic of a queue, and how to read them; empty for other topics."""
    queue = queue_keys(topic[1] if len(topic) > 1 else "")
    match topic[0]:
        case "pending":
            keys = {queue.pending: _LENGTH, queue.paused: _EXISTS}
        case "due":
            keys = dict.fromkeys((queue.scheduled, queue.retry, queue.soon), _FIRST)
        case "grouped":
            keys = {queue.groups: _NAMES, queue.flushed: None, queue.known_groups: None}
        case "types":
            keys = {queue.paused_types: None}
        case _:
            keys = {}
    return {key.encode(): reading for key, reading in keys.items()}


class TrackedTopic:
    """A topic whose keys are read over a push connection with client tracking. It enters its keys into `index`."""

    def __init__(self, topic: Topic, keys: dict[bytes, Reading], index: dict[bytes, TrackedTopic]) -> None:
        self.topic = topic
        self.kind, self.queue = topic[0], queue_keys(topic[1])
        self.keys = keys
        self._index = index
        index.update(dict.fromkeys(keys, self))
        #: What was read of the keys whose next change Redis reports.
        self._read: dict[bytes, Any] = {}
        #: Keys that have changed since the current reading began.
        self._changed: set[bytes] = set()
        #: The connection over which Redis reports.
        self.push: PushConnection | None = None
        self._paused = False
        self.is_reading = False
        self.read_at = -math.inf
        #: When the next scheduled task or retry is due, as of the last reading; infinity: there is none.
        self.due_at = math.inf
        self.timer: asyncio.TimerHandle | None = None
        #: Whether a change was reported while a watch waited, and has not been looked at yet.
        self.changed_at_wait = False
        self.election = Election(LONGEST_WAIT)

    @property
    def is_tracked(self) -> bool:
        """Whether Redis reports the next change of any key."""
        return len(self._read) == len(self.keys) and self.push is not None and self.push.is_ready

    def forget(self, key: bytes | None = None) -> None:
        """Redis does not report on this key any more (None: on all)."""
        if key is None:
            self._read.clear()
            self._changed.update(self.keys)
        else:
            self._read.pop(key, None)
            self._changed.add(key)

    def offers_work(self) -> bool:
        """Whether tasks are pending in a queue that is not paused, or it has been resumed, as of the last reading."""
        was_paused, self._paused = self._paused, bool(self._read.get(self.queue.paused.encode()))
        return not self._paused and (was_paused or bool(self._read.get(self.queue.pending.encode())))

    async def read(self, push: PushConnection) -> None:
        """Read the keys on which Redis does not report. Raises BrokerUnavailable, RedisError."""
        if push is not self.push:
            self._read.clear()
        self.is_reading, self.push = True, push
        self._changed.clear()
        try:
            while missing := [key for key in self.keys if key not in self._read and key not in self._changed]:
                await self._read_keys(push, missing)
            if self.kind == "due":
                self.due_at = min((_score(first) for first in self._read.values() if first), default=math.inf)
        finally:
            self.is_reading = False

    async def _read_keys(self, push: PushConnection, keys: Sequence[bytes]) -> None:
        plain = [key for key in keys if self.keys[key] is None]
        calls = {key: push.call(reading[0], key, *reading[1]) for key in keys if (reading := self.keys[key])}
        if plain:
            calls[plain[0]] = push.call("EXISTS", *plain)
        replies = dict(zip(calls, await asyncio.gather(*calls.values(), return_exceptions=True), strict=True))
        for key in keys:
            reply = replies.get(key, 0)
            if isinstance(reply, RedisError) and reply.code == "WRONGTYPE":
                reply = None  # tracked all the same
            if isinstance(reply, BaseException):
                raise reply
            if key not in self._changed:
                self._read[key] = reply
                if self.keys[key] is _NAMES:
                    self._track_groups(reply[1] if reply else ())

    def _track_groups(self, names: Sequence[bytes]) -> None:
        """Add the members of these groups to the keys, and remove those of others."""
        prefix = self.queue.group("").encode()
        members = [prefix + name for name in names[:GROUPS_TRACKED]]
        before, self.keys = self.keys, {**keys_of(self.topic), **dict.fromkeys(members)}
        for key in before.keys() - self.keys.keys():
            self._index.pop(key, None)
        self._index.update(dict.fromkeys(members, self))
        self._read = {key: value for key, value in self._read.items() if key in self.keys}


def _score(first: Any) -> float:
    """The score in a reply of one member: RESP3 nests the pair, RESP2 does not."""
    return float(first[0][1] if isinstance(first[0], list) else first[1])
