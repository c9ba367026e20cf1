"""A client that writes keys as Go's scripts do, and reads them directly. See docs/reference/redis-layout.md.

It creates situations that real Go servers are in only rarely; tests/interop runs real ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import redis.asyncio

from asynqio.brokers.redis.layout.messages import decode_task, encode_task
from asynqio.core.task.message import TaskMessage
from asynqio.testing import FakeClock
from tests.builders import message

#: The error that Go records when it recovers a task of a dead server.
LAPSED = "asynq: task lease expired"


def key(suffix: str, queue: str = "default") -> str:
    """A key of a queue."""
    return f"asynq:{{{queue}}}:{suffix}"


class GoClient:
    """A client that knows nothing of asynqio: `await go("GET", "key")`. Replies are bytes."""

    def __init__(self, client: redis.asyncio.Redis, clock: FakeClock) -> None:
        self.client = client
        self._clock = clock

    async def __call__(self, *words: str | bytes | float) -> Any:
        return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    # --- reading ----------------------------------------------------------------------------------

    async def task(self, id: str, queue: str = "default") -> dict[str, bytes]:
        """The fields of a task's hash."""
        found = await self("HGETALL", key(f"t:{id}", queue))
        return {name.decode(): value for name, value in found.items()}

    async def message(self, id: str, queue: str = "default") -> TaskMessage:
        """The message that Go would read."""
        return decode_task((await self.task(id, queue))["msg"])

    async def places(self, id: str, queue: str = "default") -> list[str]:
        """The lists and sorted sets of a queue that an id is in."""
        found = []
        for name in await self.names(queue):
            kind = await self("TYPE", key(name, queue))
            if (kind == b"list" and await self("LPOS", key(name, queue), id) is not None) or (
                kind == b"zset" and await self("ZSCORE", key(name, queue), id) is not None
            ):
                found.append(name)
        return found

    async def names(self, queue: str = "default") -> list[str]:
        """The existing keys of a queue, without their prefix. Slots of calls are left out: they expire."""
        start = key("", queue)
        found = [name.decode().removeprefix(start) for name in await self("KEYS", f"{start}*")]
        return sorted(name for name in found if not name.startswith("asynqio:call:"))

    async def calls(self, *commands: str) -> int:
        """The number of calls of these commands since CONFIG RESETSTAT."""
        stats = await self.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in commands)

    # --- operations of Go -------------------------------------------------------------------------

    async def enqueue(self, one: TaskMessage) -> None:
        since = int(self._clock.now() * 1e9)
        await self("SADD", "asynq:queues", one.queue)
        await self._store(one, "pending", "pending_since", since)
        await self("LPUSH", key("pending", one.queue), one.id)

    async def schedule(self, one: TaskMessage, at: float) -> None:
        await self("SADD", "asynq:queues", one.queue)
        await self._store(one, "scheduled")
        await self("ZADD", key("scheduled", one.queue), int(at), one.id)

    async def add_to_group(self, one: TaskMessage, ttl: int = 0) -> None:
        """With a `ttl` the task is unique: Go records the lock in the message, not in the hash (B5)."""
        await self("SADD", "asynq:queues", one.queue)
        if ttl:
            assert await self("SET", one.unique_key, one.id, "NX", "EX", ttl)
        await self._store(one, "aggregating", "group", one.group)
        await self("ZADD", key(f"g:{one.group}", one.queue), int(self._clock.now()), one.id)
        await self("SADD", key("groups", one.queue), one.group)

    async def dequeue(self, queue: str = "default") -> str:
        id = await self("RPOPLPUSH", key("pending", queue), key("active", queue))
        await self("HSET", key("t:", queue).encode() + id, "state", "active")
        await self("HDEL", key("t:", queue).encode() + id, "pending_since")
        await self("ZADD", key("lease", queue), int(self._clock.now()) + 30, id)
        return str(id.decode())

    async def recover(self, id: str, queue: str = "default", delay: int = 0) -> None:
        """Recover a task as Go's recoverer does, when its lease has lapsed."""
        before = await self.message(id, queue)
        now = math.floor(self._clock.now())
        after = msgspec.structs.replace(
            before, retried=before.retried + 1, last_error=LAPSED, last_failed_at=now
        )
        assert await self("LREM", key("active", queue), 0, id) == 1
        assert await self("ZREM", key("lease", queue), id) == 1
        await self("ZADD", key("retry", queue), now + delay, id)
        await self._store(after, "retry")

    async def forward(self, id: str, source: str = "scheduled", queue: str = "default") -> None:
        """Forward a due task as Go's forwarder does."""
        assert await self("ZREM", key(source, queue), id) == 1
        group = await self("HGET", key(f"t:{id}", queue), "group")
        if group:
            await self("ZADD", key("g:", queue).encode() + group, int(self._clock.now()), id)
            await self("HSET", key(f"t:{id}", queue), "state", "aggregating")
        else:
            since = int(self._clock.now() * 1e9)
            await self("LPUSH", key("pending", queue), id)
            await self("HSET", key(f"t:{id}", queue), "state", "pending", "pending_since", since)

    async def claim(self, group: str, set_id: str, queue: str = "default") -> str:
        """Claim a ripe group as Go's aggregator does. Returns the key of the aggregation set."""
        batch = key(f"g:{group}:{set_id}", queue)
        await self("RENAME", key(f"g:{group}", queue), batch)
        await self("ZADD", key("aggregation_sets", queue), int(self._clock.now()) + 120, batch)
        await self("SREM", key("groups", queue), group)
        return batch

    async def reclaim(self, batch: str, queue: str = "default") -> None:
        """Release an expired aggregation set as Go's recoverer does."""
        await self("RENAME", batch, batch.rpartition(":")[0])
        await self("ZREM", key("aggregation_sets", queue), batch)

    async def finish(self, id: str, queue: str = "default") -> None:
        """Complete a task as Go's worker does; an error if the task is no longer active."""
        assert await self("LREM", key("active", queue), 0, id) == 1
        assert await self("ZREM", key("lease", queue), id) == 1
        assert await self("DEL", key(f"t:{id}", queue)) == 1

    async def archive_many(self, ids: Sequence[str], at: float, queue: str = "default") -> None:
        """Store identical archived tasks."""
        await self("SADD", "asynq:queues", queue)
        for start in range(0, len(ids), 1000):
            async with self.client.pipeline(transaction=False) as pipe:
                for id in ids[start : start + 1000]:
                    stored = encode_task(message(id, queue=queue, last_error="no"))
                    pipe.hset(key(f"t:{id}", queue), mapping={"msg": stored, "state": "archived"})
                await pipe.execute()
            scores = {id: int(at) for id in ids[start : start + 1000]}
            await self.client.zadd(key("archived", queue), scores)

    async def _store(self, one: TaskMessage, state: str, *more: str | bytes | float) -> None:
        await self("HSET", key(f"t:{one.id}", one.queue), "msg", encode_task(one), "state", state, *more)
