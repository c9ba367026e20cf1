"""The topics of queues: which of them Redis reports on, and when to read their keys again.

Redis reports the next change of a key that was read, and then no further one until it is read again. So a topic is
read when a watch on it begins to wait: a busy worker receives no reports. Tracking of keys costs other clients of
this Redis one look-up per write, whatever the number of queues; tracking of prefixes (broadcast mode) costs one
comparison per prefix and write, and every queue has prefixes of its own. Measured on Redis 7.0 with
`redis-benchmark -t set`: docs/decisions/0002-woken-by-redis.md.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from random import Random

from asynqio.brokers.contract.signals import DueQueues, Signals, Topic, Watch
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.connection.push import PushConnection
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.tracking.topic import LONGEST_WAIT, TrackedTopic, keys_of
from asynqio.core.lifecycle import Lease
from asynqio.errors import BrokerError, BrokerUnavailable

#: How many readings the longest delay lasts, where that is longer than LONGEST_WAIT; and the longest of all delays.
SLOW, LONGEST = 8, 0.25
#: Seconds for which a server that already runs tasks lets the others take new ones.
YIELD = 0.002
#: The shortest interval in seconds between two reads of a topic, by its kind.
READ_EVERY = {"due": 0.01, "grouped": 0.05, "types": 0.05}
#: Seconds until the next read of keys that change while they are read, or that another node serves by now.
READ_AGAIN, MOVED_AGAIN = 0.002, 0.5


class TrackedTopics:
    """Turns reports of Redis into signals, and has keys read again when a watch waits for them."""

    def __init__(self, session: Session, signals: Signals, on_refused: Callable[[BrokerError], None]) -> None:
        self._session = session
        self._signals = signals
        self._on_refused = on_refused
        self._random = Random()
        self._topics: dict[Topic, TrackedTopic] = {}
        self._by_key: dict[bytes, TrackedTopic] = {}
        #: The topics on whose next change Redis does not report.
        self._untracked: set[TrackedTopic] = set()
        #: The topics of pending tasks whose signals no dequeue has followed yet.
        self._signalled: set[TrackedTopic] = set()
        #: The connections on which tracking is on, by master.
        self._pushes: dict[str, PushConnection] = {}
        #: The smoothed time of a reading, in seconds: of Redis, of the network, and of this event loop.
        self._reading_time = 0.0
        self._closed = False

    def add(self, topics: Iterable[Topic]) -> None:
        """Track these topics, those of queues."""
        for topic in topics:
            if topic not in self._topics and (keys := keys_of(topic)):
                tracked = self._topics[topic] = TrackedTopic(topic, keys, self._by_key)
                self._untracked.add(tracked)

    def connected(self, push: PushConnection) -> None:
        """Tracking is on on a new connection: what was read over the one before it must be read again."""
        self._pushes[push.name] = push
        self.verify()

    def verify(self) -> None:
        """Have the topics read again whose connection, or whose node of a cluster, has been replaced."""
        for tracked in self._topics.values():
            push = tracked.push
            if push is not None and (
                push is not self._pushes.get(push.name) or self._push_for(tracked) is not push
            ):
                self._forget(tracked)
                self._signals.publish([tracked.topic])

    def forget_all(self) -> None:
        """Redis reports on nothing that was read so far."""
        for tracked in self._topics.values():
            self._forget(tracked)

    def close(self) -> None:
        """Read no more."""
        self._closed = True
        for tracked in self._topics.values():
            if tracked.timer is not None:
                tracked.timer.cancel()

    # --- what watches know ------------------------------------------------------------------------

    def is_tracked(self, watch: Watch) -> bool:
        """Whether Redis would have reported any change of the topics of this watch: then it need not poll.

        False in a cluster, where a queue without keys may move to another node without a report.
        """
        if self._session.redis.clustered:
            return False
        topics = (self._topics.get(topic) for topic in watch.topics)
        return all(tracked is not None and tracked.is_tracked for tracked in topics)

    def due_queues(self, watch: Watch, now: float) -> DueQueues | None:
        """See Watch.due_queues."""
        if not self.is_tracked(watch):
            return None
        due, next_at = [], math.inf
        for topic in watch.topics:
            tracked = self._topics[topic]
            if tracked.due_at <= now:
                due.append(tracked.queue.name)
            else:
                next_at = min(next_at, tracked.due_at)
        return DueQueues(due, next_at)

    # --- what happens -----------------------------------------------------------------------------

    def waits(self, watch: Watch) -> None:
        """A watch begins to wait: read its topics whose next change would not be reported."""
        for tracked in self._untracked_of(watch):
            if tracked.kind == "pending":
                self._read_in(self._delay(tracked), tracked)
            else:
                self._read_in(tracked.read_at + READ_EVERY[tracked.kind] - self._now(), tracked)

    def _untracked_of(self, watch: Watch) -> list[TrackedTopic]:
        """The topics of a watch on whose next change Redis does not report. Looks through the shorter list: one of
        many watches has few topics, and few topics of a large watch have changed."""
        if len(self._untracked) <= len(watch.topics):
            return [one for one in self._untracked if self._signals.has(one.topic, watch)]
        topics = (self._topics.get(topic) for topic in watch.topics)
        return [one for one in topics if one in self._untracked]

    def dequeued(self, leases: Sequence[Lease]) -> None:
        """A dequeue has followed the signals so far."""
        if not self._signalled:
            return
        found = {lease.message.queue for lease in leases}
        for tracked in self._signalled:
            if tracked.queue.name in found:
                tracked.election.won()
                self._forget(tracked, tracked.queue.pending.encode())  # its report concerns our own change
            else:
                tracked.election.collided(self._now())
        self._signalled.clear()

    def changed(self, key: bytes) -> None:
        """Redis reports that a key was changed, and reports on it no more."""
        tracked = self._by_key.get(key)
        if tracked is None:
            return
        was_tracked = tracked not in self._untracked
        self._forget(tracked, key)
        if not was_tracked or tracked.is_reading:
            return  # it is going to be read
        waiting = self._signals.waiting(tracked.topic)
        if tracked.kind == "pending" and not waiting:
            pass  # read when a watch waits again
        elif not waiting:
            self._signals.publish([tracked.topic])
        elif tracked.kind != "pending":
            self._read_in(tracked.read_at + READ_EVERY[tracked.kind] - self._now(), tracked)
        elif tracked.election.leads and not any(watch.yields() for watch in waiting):
            self._signal_pending(tracked)
        else:
            tracked.changed_at_wait = True
            yields = all(watch.yields() for watch in waiting)
            self._read_in(self._delay(tracked) + (YIELD if yields else 0.0), tracked)

    def _forget(self, tracked: TrackedTopic, key: bytes | None = None) -> None:
        tracked.forget(key)
        self._untracked.add(tracked)

    def _signal_pending(self, tracked: TrackedTopic) -> None:
        self._signalled.add(tracked)
        self._signals.publish([tracked.topic])

    def _delay(self, tracked: TrackedTopic) -> float:
        """Until the next look for pending tasks. Delays are useless if they are shorter than a look takes."""
        slowness = max(1.0, SLOW * self._reading_time / LONGEST_WAIT)
        return min(slowness * tracked.election.delay(self._random), LONGEST)

    # --- reading ----------------------------------------------------------------------------------

    def _read_in(self, delay: float, tracked: TrackedTopic) -> None:
        if tracked.is_reading or tracked.timer is not None:
            return
        if delay <= 0:
            self._begin(tracked)
        else:
            tracked.timer = asyncio.get_running_loop().call_later(delay, self._begin, tracked)

    def _begin(self, tracked: TrackedTopic) -> None:
        tracked.timer = None
        if self._closed or tracked not in self._untracked or tracked.is_reading:
            return
        if not self._signals.waiting(tracked.topic):
            if tracked.kind != "pending":
                self._signals.publish([tracked.topic])
        elif (push := self._push_for(tracked)) is not None:
            tracked.is_reading = True
            self._session.background.spawn(self._read(tracked, push))

    async def _read(self, tracked: TrackedTopic, push: PushConnection) -> None:
        again, began = READ_AGAIN, self._now()
        try:
            await tracked.read(push)
        except BrokerUnavailable:
            return  # read when there is a connection again
        except RedisError as error:
            if error.code not in ("MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN"):
                self.close()
                self._on_refused(error)
                return
            self._signals.publish([tracked.topic])
            again = MOVED_AGAIN
        tracked.read_at = self._now()
        self._reading_time += (tracked.read_at - began - self._reading_time) / 8
        if not tracked.is_tracked:  # changed while it was read
            self._read_in(again, tracked)
            return
        self._untracked.discard(tracked)
        if tracked.kind != "pending":
            self._signals.publish([tracked.topic])
        elif tracked.offers_work():
            self._signal_pending(tracked)
        elif tracked.changed_at_wait:
            tracked.election.lost(tracked.read_at)
        tracked.changed_at_wait = False

    def _push_for(self, tracked: TrackedTopic) -> PushConnection | None:
        return self._pushes.get(self._session.redis.master_of(tracked.queue.pending))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
