"""Enqueueing from threads: over a blocking connection, and over the event loop when that fails."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from asynqio.brokers.contract.processes import reset_after_fork
from asynqio.brokers.contract.producer import RunOnLoop
from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.redis.call_slots import CallSlot, CallSlots
from asynqio.brokers.redis.chunking import BATCH_BYTES, BATCH_SIZE
from asynqio.brokers.redis.connection import errors
from asynqio.brokers.redis.connection.blocking import BlockingConnection
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import BecameReplica, ReplyLost
from asynqio.brokers.redis.layout.keys import queue_keys
from asynqio.brokers.redis.operations.enqueue import (
    EncodedEntry,
    call_arguments,
    encode_entry,
    enqueue_one,
    read_reply,
)
from asynqio.brokers.redis.queue_registry import REGISTERED_FOR
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.brokers.redis.thread_batcher import ThreadBatcher
from asynqio.clock import Clock
from asynqio.core.task.task import Entry
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

log = logging.getLogger("asynqio.redis")

#: Seconds until the next attempt to connect after one failed. Meanwhile the event loop sends the calls.
RETRY_AFTER = 1.0


class RedisProducer:
    """A `Producer` on one server. Its threads share a connection, and their entries share script calls.

    Whatever is not a plain reply (an error, a lost connection, no connection) is left to the event loop, which sends
    the same call again: it knows how to wait, to reconnect, and to find a new master.
    """

    def __init__(
        self, settings: RedisSettings, clock: Clock, session: Callable[[], Awaitable[Session]], run: RunOnLoop
    ) -> None:
        """`session` returns the open session of the running event loop."""
        self.clock = clock
        self.where = settings.location
        self._settings = settings
        self._session = session
        self._run = run
        self._batcher: ThreadBatcher[EncodedEntry, Admission | Replaced] = ThreadBatcher(self._calls, _take)
        self._connection: BlockingConnection | None = None
        self._call_slots = CallSlots()
        #: Held while the connection is used or closed.
        self._using = threading.Lock()
        self._registered: dict[str, float] = {}
        self._retry_at = 0.0
        reset_after_fork(self)

    def _after_fork(self) -> None:
        """Start anew: the connection and the threads are those of the parent."""
        self._using = threading.Lock()
        self._batcher.reset()
        self.close()

    def enqueue(self, entry: Entry) -> Admission | Replaced:
        """See Producer.enqueue."""
        if self._batcher.is_mine:
            return self._run(self._enqueue_over_loop, entry)
        return self._batcher.submit(encode_entry(entry, self.clock.now()))

    async def _enqueue_over_loop(self, entry: Entry) -> Admission | Replaced:
        return await enqueue_one(await self._session(), entry)

    def close(self) -> None:
        """See Producer.close."""
        with self._using:
            connection, self._connection = self._connection, None
            self._registered = {}
            self._retry_at = 0.0
            if connection is not None:
                connection.close()

    def _calls(self, entries: list[EncodedEntry]) -> _ScriptCalls:
        return _ScriptCalls(self, entries)

    # --- for the thread that makes a call ---------------------------------------------------------

    def script_call(self, name: str, indexes: list[int], entries: Sequence[EncodedEntry]) -> _ScriptCall:
        """The call for entries of one queue."""
        queue, now = queue_keys(name), self.clock.now()
        slot = self._call_slots.take(queue, now)
        return _ScriptCall(slot, name, indexes, *call_arguments(queue, slot, entries, now, self._settings))

    def register(self, queues: Sequence[str]) -> None:
        """Register the queues that were not registered lately."""
        now = self.clock.monotonic()
        new = [name for name in queues if now - self._registered.get(name, -REGISTERED_FOR) >= REGISTERED_FOR]
        if new:
            self._run(self._register, new)
            self._registered.update(dict.fromkeys(new, now))

    async def _register(self, queues: Sequence[str]) -> None:
        registration = (await self._session()).registry.begin(queues)
        if registration is not None:
            await registration

    def register_again(self, queue: str) -> None:
        """Register a queue that may have been removed since."""
        self._run(self._register_again, queue)

    async def _register_again(self, queue: str) -> None:
        await (await self._session()).registry.register_again([queue])

    def send(self, commands: Sequence[tuple[Arg, ...]], *, alone: bool) -> list[Any] | None:
        """The replies to commands, errors included; None: they were not sent. Raises ReplyLost.

        `alone`: for no other thread than this one.
        """
        with self._using:
            connection = self._connection
            if connection is None or connection.closed:
                connection = self._connection = self._connect()
                if connection is None:
                    return None
            replies = connection.call(commands, alone=alone)
            if any(isinstance(reply, BecameReplica) for reply in replies):
                connection.close()  # the next one is to the new master
            return replies

    def _connect(self) -> BlockingConnection | None:
        now = self.clock.monotonic()
        if now < self._retry_at:
            return None
        sentinel = self._settings.kind == "sentinel"
        try:
            address = self._run(self._locate) if sentinel else self._settings.path or self._settings.nodes[0]
            return BlockingConnection(self._settings, address, only_master=sentinel)
        except (OSError, UnicodeError, BrokerError, ConfigError) as error:
            # The event loop will tell the caller what is wrong, if it cannot connect either.
            log.debug(
                "no blocking connection to Redis at %s: %s",
                self.where,
                errors.reason(error),
                extra={"event": "producer_not_connected", "broker": self._settings.url, "error": str(error)},
            )
            self._retry_at = now + RETRY_AFTER
            return None

    async def _locate(self) -> Any:
        return await (await self._session()).redis.locate()

    def send_over_loop(self, calls: Sequence[_ScriptCall], lost: ReplyLost | None) -> list[Any]:
        """The replies to calls, or the exceptions that they raise. `lost`: they were sent before."""
        return self._run(self._send_over_loop, calls, lost)

    async def _send_over_loop(self, calls: Sequence[_ScriptCall], lost: ReplyLost | None) -> list[Any]:
        session = await self._session()
        return await asyncio.gather(
            *(_call_on(session, call, lost) for call in calls), return_exceptions=True
        )


async def _call_on(session: Session, call: _ScriptCall, lost: ReplyLost | None) -> Any:
    try:
        return await session.run_remembered(LUA.enqueue, call.keys, call.args, call.slot)
    except BrokerUnavailable as error:
        if lost is None:
            raise
        raise lost from error  # the first call was sent, whatever happened to this one


def _take(entries: Sequence[EncodedEntry]) -> int:
    """How many entries go into one call of bounded size."""
    size = 0
    for count, entry in enumerate(entries[:BATCH_SIZE]):
        size += len(entry.message)
        if count and size > BATCH_BYTES:
            return count
    return min(len(entries), BATCH_SIZE)


class _ScriptCall:
    """One call of the script, for entries of one queue."""

    def __init__(
        self, slot: CallSlot, queue: str, indexes: list[int], keys: list[str], args: list[Arg]
    ) -> None:
        self.slot, self.queue, self.indexes, self.keys, self.args = slot, queue, indexes, keys, args
        #: The reply, or the exception that stands for it; None: not called yet.
        self.reply: Any = None

    @property
    def command(self) -> tuple[Arg, ...]:
        return ("EVALSHA", LUA.enqueue.sha, len(self.keys), *self.keys, *self.args)


class _ScriptCalls:
    """The calls for entries of concurrent threads. See BatchCall."""

    def __init__(self, producer: RedisProducer, entries: Sequence[EncodedEntry]) -> None:
        self._producer = producer
        self._count = len(entries)
        by_queue: dict[str, list[int]] = {}
        for at, entry in enumerate(entries):
            by_queue.setdefault(entry.queue, []).append(at)
        self._calls = [
            producer.script_call(name, some, [entries[at] for at in some]) for name, some in by_queue.items()
        ]
        self._sent = False
        self._lost: ReplyLost | None = None

    def run(self) -> list[Admission | Replaced | Exception]:
        """See BatchCall.run."""
        producer = self._producer
        producer.register([call.queue for call in self._calls])
        if not self._sent:
            self._send()
        left = [call for call in self._calls if call.reply is None]
        if left:
            for call, reply in zip(left, producer.send_over_loop(left, self._lost), strict=True):
                call.reply = reply
        answers: list[Admission | Replaced | Exception] = [Admission.ACCEPTED] * self._count
        for call in self._calls:
            if isinstance(call.reply, Exception):
                found: Sequence[Admission | Replaced | Exception] = [call.reply] * len(call.indexes)
            else:
                found, new = read_reply(call.reply)
                if new:
                    producer.register_again(call.queue)
            for at, answer in zip(call.indexes, found, strict=True):
                answers[at] = answer
        return answers

    def _send(self) -> None:
        # Until the replies are there, the calls may have been executed, also if this thread is interrupted.
        self._sent, self._lost = True, errors.lost(self._producer.where, "interrupted")
        try:
            replies = self._producer.send([call.command for call in self._calls], alone=self._count == 1)
        except ReplyLost as error:
            self._lost = error
            return
        for call, reply in zip(self._calls, replies or (), strict=replies is not None):
            if not isinstance(reply, BrokerError):
                call.reply = reply
                call.slot.release()
        self._lost = None
