"""The upper bound on Redis with the keys and messages of asynq: batched scripts on one connection.

Many tasks per script call, several calls in flight; messages are decoded, and each job runs in an asyncio task. There
are no lease renewals, deadlines, fencing, retries, notifications or events.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import hiredis
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from asynqio import Task
from benchmarks.cases.drain import ROUND_TRIP
from benchmarks.cases.enqueue import noop_task
from benchmarks.harness import row_names
from benchmarks.harness.case import RAW, Case, Size, Values
from benchmarks.harness.stores import delayed, temporary_url

PREFIX = "asynq:{default}:"
#: Tasks per claim, and claims in flight.
BATCH, IN_FLIGHT = 64, 4
#: Tasks per bulk enqueue.
CHUNK = 1_000
#: Default retries, and default timeout of a handler in seconds.
RETRY, TIMEOUT = 25, 1800
STATS_AGE = 90 * 86_400
LEASE = 30

ENQUEUE = """
local ids = {}
for i = 3, #ARGV, 2 do
  local task = ARGV[1] .. ARGV[i]
  if redis.call("EXISTS", task) == 0 then
    redis.call("HSET", task, "msg", ARGV[i + 1], "state", "pending", "pending_since", ARGV[2])
    ids[#ids + 1] = ARGV[i]
  end
end
if #ids > 0 then redis.call("LPUSH", KEYS[1], unpack(ids)) end
return #ids
"""

CLAIM = """
if redis.call("EXISTS", KEYS[2]) == 1 then return {} end
local ids = redis.call("RPOP", KEYS[1], ARGV[1])
if not ids then return {} end
redis.call("LPUSH", KEYS[3], unpack(ids))
local leases, messages = {}, {}
for i, id in ipairs(ids) do
  local task = ARGV[3] .. id
  messages[i] = redis.call("HGET", task, "msg")
  redis.call("HSET", task, "state", "active")
  redis.call("HDEL", task, "pending_since")
  leases[2 * i - 1] = ARGV[2]
  leases[2 * i] = id
end
redis.call("ZADD", KEYS[4], unpack(leases))
return messages
"""

DONE = """
local done = 0
for i = 3, #ARGV do
  if redis.call("LREM", KEYS[1], -1, ARGV[i]) == 1 then
    redis.call("ZREM", KEYS[2], ARGV[i])
    redis.call("DEL", ARGV[1] .. ARGV[i])
    done = done + 1
  end
end
if redis.call("INCRBY", KEYS[3], done) == done then redis.call("EXPIREAT", KEYS[3], ARGV[2]) end
redis.call("INCRBY", KEYS[4], done)
return done
"""


def cases() -> list[Case]:
    return [
        Case(RAW, "enqueue", _one_by_one),
        Case(RAW, "enqueue, many callers", _many_callers),
        Case(RAW, "enqueue_many", _in_bulk),
        *[Case(RAW, f"drain, {slots} slots", partial(_drain, slots)) for slots in row_names.SLOTS],
        Case(RAW, "drain, 2 ms away", _far),
    ]


def _task_message() -> Any:
    kinds = descriptor_pb2.FieldDescriptorProto
    fields = {
        1: ("type", kinds.TYPE_STRING),
        2: ("payload", kinds.TYPE_BYTES),
        3: ("id", kinds.TYPE_STRING),
        4: ("queue", kinds.TYPE_STRING),
        5: ("retry", kinds.TYPE_INT32),
        8: ("timeout", kinds.TYPE_INT64),
    }
    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="TaskMessage")
    for number, (name, kind) in fields.items():
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.TaskMessage"))


TaskMessage = _task_message()


class PipelinedConnection(asyncio.Protocol):
    """A connection that sends all commands of one iteration of the event loop together."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._answers: deque[asyncio.Future[Any]] = deque()
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        #: Called with each message that the server pushes (RESP3).
        self.on_push: Callable[[Any], None] = lambda message: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, *arguments: Any) -> asyncio.Future[Any]:
        answer = self._loop.create_future()
        self._answers.append(answer)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(arguments))
        return answer

    def forget(self, unanswered: asyncio.Future[Any]) -> None:
        """Do not expect a reply: the reply to SUBSCRIBE is a pushed message."""
        self._answers.remove(unanswered)

    def _flush(self) -> None:
        assert self._transport is not None
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if isinstance(answer, hiredis.PushNotification):
                self.on_push(answer)
                continue
            future = self._answers.popleft()
            if future.done():
                continue  # cancelled
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        for answer in self._answers:
            answer.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class BareClient:
    """Calls the three scripts."""

    def __init__(self, connection: PipelinedConnection, scripts: list[bytes]) -> None:
        self.connection = connection
        self._enqueue, self._claim, self._done = scripts
        self._day = f"{PREFIX}processed:{datetime.now(UTC):%Y-%m-%d}"

    def enqueue(self, count: int) -> asyncio.Future[int]:
        return self.put([noop_task() for _ in range(count)])

    def put(self, tasks: Sequence[Task]) -> asyncio.Future[int]:
        arguments: list[Any] = []
        for task in tasks:
            id = str(uuid.uuid4())
            message = TaskMessage(
                type=task.type, payload=task.payload, id=id, queue="default", retry=RETRY, timeout=TIMEOUT
            )
            arguments += [id, message.SerializeToString()]
        return self.connection.send(
            *("EVALSHA", self._enqueue, 1, f"{PREFIX}pending", f"{PREFIX}t:", time.time_ns()), *arguments
        )

    def claim(self, limit: int) -> asyncio.Future[list[bytes]]:
        keys = [PREFIX + name for name in ("pending", "paused", "active", "lease")]
        return self.connection.send(
            "EVALSHA", self._claim, 4, *keys, limit, int(time.time()) + LEASE, f"{PREFIX}t:"
        )

    def done(self, ids: list[str]) -> asyncio.Future[int]:
        keys = (f"{PREFIX}active", f"{PREFIX}lease", self._day, f"{PREFIX}processed")
        return self.connection.send(
            "EVALSHA", self._done, 4, *keys, f"{PREFIX}t:", int(time.time()) + STATS_AGE, *ids
        )


async def connected(url: str) -> PipelinedConnection:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(PipelinedConnection, parts.hostname or "", parts.port or 0)
    return connection


@contextlib.asynccontextmanager
async def bare_client(url: str) -> AsyncIterator[BareClient]:
    connection = await connected(url)
    try:
        await connection.send("SADD", "asynq:queues", "default")
        scripts = [await connection.send("SCRIPT", "LOAD", script) for script in (ENQUEUE, CLAIM, DONE)]
        yield BareClient(connection, scripts)
    finally:
        connection.close()


async def fill(url: str, count: int) -> None:
    async with bare_client(url) as redis:
        for chunk in _chunks(count):
            await redis.enqueue(chunk)


def _chunks(count: int) -> Iterator[int]:
    for start in range(0, count, CHUNK):
        yield min(CHUNK, count - start)


async def _one_by_one(size: Size) -> Values:
    with temporary_url("redis") as url:
        async with bare_client(url) as redis:
            began = time.perf_counter()
            for _ in range(size.one_by_one):
                await redis.enqueue(1)
            return {row_names.ENQUEUE: size.one_by_one / (time.perf_counter() - began)}


async def _many_callers(size: Size) -> Values:
    each = size.callers // row_names.CALLERS

    async def caller(redis: BareClient) -> None:
        for _ in range(each):
            await redis.enqueue(1)

    with temporary_url("redis") as url:
        async with bare_client(url) as redis:
            began = time.perf_counter()
            await asyncio.gather(*[caller(redis) for _ in range(row_names.CALLERS)])
            return {row_names.ENQUEUE_CALLERS: each * row_names.CALLERS / (time.perf_counter() - began)}


async def _in_bulk(size: Size) -> Values:
    with temporary_url("redis") as url:
        async with bare_client(url) as redis:
            began = time.perf_counter()
            for chunk in _chunks(size.drained):
                await redis.enqueue(chunk)
            return {row_names.ENQUEUE_MANY: size.drained / (time.perf_counter() - began)}


async def _drain(slots: int, size: Size) -> Values:
    with temporary_url("redis") as url:
        await fill(url, size.drained)
        return {row_names.drain(slots): await _drained(url, slots, size.drained)}


async def _far(size: Size) -> Values:
    with temporary_url("redis") as url:
        await fill(url, size.drained)
        with delayed(url, ROUND_TRIP) as far:
            return {row_names.FAR: await _drained(far, max(row_names.SLOTS), size.drained)}


async def _drained(url: str, slots: int, count: int) -> float:
    async with bare_client(url) as redis:
        return await Drain(redis, slots, count).run()


class Drain:
    """Claims tasks for all free slots, and settles the tasks that ended since the last iteration of the loop."""

    def __init__(self, redis: BareClient, slots: int, count: int) -> None:
        self._redis = redis
        self._free = slots
        self._left = count
        self._unclaimed = count
        self._claims = 0
        self._batch = max(1, min(BATCH, slots // IN_FLIGHT))
        self._ended: list[str] = []
        self._began = 0.0
        self._finished: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> float:
        count = self._left
        self._claim()
        return count / (await self._finished - self._began)

    def _claim(self) -> None:
        while self._claims < IN_FLIGHT and self._free >= self._batch and self._unclaimed > 0:
            limit = min(self._batch, self._unclaimed)
            self._free -= limit
            self._unclaimed -= limit
            self._claims += 1
            self._redis.claim(limit).add_done_callback(self._claimed)

    def _claimed(self, answer: asyncio.Future[list[bytes]]) -> None:
        self._claims -= 1
        self._began = self._began or time.perf_counter()
        for message in answer.result():
            task = asyncio.create_task(self._job(TaskMessage.FromString(message)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        self._claim()

    async def _job(self, message: Message) -> None:
        await _no_op(message)
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._settle)
        self._ended.append(message.id)  # type: ignore[attr-defined]

    def _settle(self) -> None:
        self._redis.done(self._ended).add_done_callback(self._settled)
        self._free += len(self._ended)
        self._ended = []
        self._claim()

    def _settled(self, answer: asyncio.Future[int]) -> None:
        self._left -= answer.result()
        if not self._left:
            self._finished.set_result(time.perf_counter())


async def _no_op(message: Message) -> None:
    """The handler of a user."""
