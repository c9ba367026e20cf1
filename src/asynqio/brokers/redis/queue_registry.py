"""The set of all queues, `asynq:queues`, from which inspectors list them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any

from asynqio.brokers.redis.connection.client import RedisClient
from asynqio.brokers.redis.connection.errors import ReplyLost
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, queue_keys
from asynqio.brokers.redis.small_write import small_write
from asynqio.clock import Clock
from asynqio.errors import BrokerUnavailable, QueueNotFound, StorageFull

#: Seconds to remember that a queue is registered. If another process removes it, it is registered again this soon
#: (B15).
REGISTERED_FOR = 5.0


class QueueRegistry:
    """Registers queues, and remembers for a short time which ones are registered."""

    def __init__(self, redis: RedisClient, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._registered: dict[str, float] = {}

    async def register(self, queues: Iterable[str]) -> None:
        """Register the queues so that inspectors list them."""
        names = list(queues)
        if (registration := self.begin(names)) is None:
            return
        try:
            await registration
        except StorageFull:
            # The caller may be about to free memory; an enqueue calls `begin`, and is refused.
            await small_write(self._redis, "SADD", QUEUES, *names)

    async def register_again(self, queues: Sequence[str]) -> None:
        """Register queues that may have been removed since. If that fails, they are registered when next used."""
        for name in queues:
            self.forget(name)
        with contextlib.suppress(BrokerUnavailable):
            await self.register(queues)

    def begin(self, queues: Iterable[str]) -> asyncio.Task[None] | None:
        """Send the command to register the queues; later commands arrive after it. None: nothing to register."""
        now = self._clock.monotonic()
        registered = self._registered
        new = [name for name in queues if now - registered.get(name, -REGISTERED_FOR) >= REGISTERED_FOR]
        if not new:
            return None
        for name in new:
            registered[name] = now
        sent = self._redis.command(QUEUES, "SADD", QUEUES, *new)
        registration = asyncio.create_task(self._register(new, sent))
        # If it fails together with the operation that needs it, its exception may never be retrieved.
        registration.add_done_callback(lambda task: task.cancelled() or task.exception())
        return registration

    async def _register(self, queues: list[str], sent: Awaitable[Any]) -> None:
        try:
            try:
                await sent
            except ReplyLost:
                await self._redis.command(QUEUES, "SADD", QUEUES, *queues)
        except BaseException:
            for name in queues:
                self.forget(name)
            raise

    def forget(self, queue: str) -> None:
        """Register the queue again when it is next used."""
        self._registered.pop(queue, None)

    async def contains(self, queue: str) -> bool:
        """Whether the queue is registered now."""
        return bool(await self._redis.command(QUEUES, "SISMEMBER", QUEUES, queue))

    async def require(self, queue: str) -> QueueKeys:
        """The keys of a registered queue. Raises QueueNotFound."""
        if not await self.contains(queue):
            raise QueueNotFound(queue)
        return queue_keys(queue)
