"""Notifications of changes in Redis, by any client including Go's, without polling.

One push connection per master, opened when first needed. Redis reports changes of the keys that were read over it
(client tracking): those of watched queues (`tracking/`), and single tasks that a caller waits for or follows. It also
carries cancellation requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import Signals, Topic, Watch
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.connection.push import PushConnection, PushConnections
from asynqio.brokers.redis.layout.keys import CANCEL, OWN_CANCEL, queue_keys
from asynqio.brokers.redis.operations.cancellations import Cancellations, publish
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.tracking.topics import TrackedTopics
from asynqio.core.lifecycle import Lease
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
        self._tracked = self._signals.source = TrackedTopics(session, self._signals, self._start_polling)
        #: Tasks that callers wait for or follow, by key.
        self._awaited: dict[bytes, TaskRef] = {}
        self._cancellations = Cancellations(session.settings.db)
        self._connections: PushConnections | None = None
        self._polling: asyncio.Task[None] | None = None
        self._closed = False

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Watch these topics. Changes before the connections are open are covered by one extra signal."""
        watch = self._signals.watch(topics)
        self._tracked.add(watch.topics)
        self._session.background.spawn(self._connect())
        for topic in watch.topics:
            if topic[0] in ("ended", "changed"):
                self._await_task(TaskRef(*topic[1:]))
        return watch

    def dequeued(self, leases: Sequence[Lease]) -> None:
        """A dequeue of this session returned these tasks."""
        self._tracked.dequeued(leases)

    # --- connections ------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if self._closed or self._connections is not None:
            return
        self._connections = self._session.redis.push_connections(
            self._receive, self._set_up, self._tracked.verify, self._start_polling
        )
        await self._connections.open()

    async def _set_up(self, push: PushConnection) -> None:
        try:
            await push.call("CLIENT", "TRACKING", "ON")
        except BrokerUnavailable:
            return  # the next connection is set up like this
        except BrokerError as error:
            self._start_polling(error)
        else:
            self._tracked.connected(push)
        if self._cancellations:
            await self._subscribe(push)
        self._signals.publish_all()
        for key in list(self._awaited):
            self._session.background.spawn(self._read_state(key))

    def _start_polling(self, error: BrokerError) -> None:
        if self._polling is None and not self._closed:
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
        if kind == b"message":
            self._cancellations.receive(frame[1], frame[2])
        elif kind == b"invalidate":
            if frame[1] is None:  # FLUSHALL or FLUSHDB: Redis has forgotten what was read
                self._tracked.forget_all()
                self._signals.publish_all()
            for key in list(self._awaited) if frame[1] is None else frame[1]:
                if key in self._awaited:
                    self._session.background.spawn(self._read_state(key))
                else:
                    self._tracked.changed(key)

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
        if self._connections is None:
            return  # read when the connection is up
        try:
            state = await self._connections.call(key.decode(), "HGET", key, "state")
        except RedisError:
            state = None  # not a hash: notify, so that waiting callers read it themselves
        except BrokerUnavailable:
            return  # read again when the connection is up
        self._signals.publish([signals.changed(ref)])
        if state in _ENDED:
            self._signals.publish([signals.ended(ref)])

    # --- cancellation -----------------------------------------------------------------------------

    async def cancel(self, refs: Iterable[TaskRef], *, archive: bool) -> None:
        """See Broker.cancel."""
        await publish(self._session, refs, archive=archive)

    async def cancellations(self) -> AsyncIterator[Cancellation]:
        """See Broker.cancellations."""
        with self._cancellations.reader() as requests:
            if self._connections is None:
                await self._connect()
            elif len(self._cancellations) == 1:
                for push in self._connections.ready():
                    await self._subscribe(push)
            while True:
                yield await requests.get()

    async def _subscribe(self, push: PushConnection) -> None:
        if self._connections is not None and self._connections.is_current(push, OWN_CANCEL):
            with contextlib.suppress(BrokerUnavailable):  # the next connection subscribes
                await push.subscribe(OWN_CANCEL, CANCEL)

    async def close(self) -> None:
        """Stop receiving. Work that was scheduled but has not started does nothing."""
        self._closed = True
        self._tracked.close()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
            self._polling = None
        if self._connections is not None:
            await self._connections.close()
            self._connections = None
