"""The session of one client: its calls, watches and answers, over one connection after the other."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.brokers.remote.wire import errors
from asynqio.brokers.remote.wire.errors import WireError
from asynqio.brokers.remote.wire.hello import Hello, decode_any, decode_request_head
from asynqio.brokers.remote.wire.operation import Operation, encode_error, encode_notice
from asynqio.brokers.remote.wire.operations import OF_SESSION, OF_STORE
from asynqio.errors import AsynqioError, BrokerRefused, BrokerUnavailable
from asynqio.gateway.remote.limits import RemoteLimits
from asynqio.gateway.remote.outbox import Outbox

log = logging.getLogger("asynqio.gateway")

#: What decoders raise, depending on what is wrong with a message: its form, a key that cannot be one, its depth.
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)

#: The kinds of topics, and the number of names in a topic, its kind included.
_TOPIC_SIZES = {"pending": 2, "due": 2, "grouped": 2, "types": 2, "ended": 3, "changed": 3}


class Session:
    """Runs the calls of one client. `store` is what the client may use; each new connection may bring another one."""

    def __init__(self, store: Store, limits: RemoteLimits) -> None:
        self.store = store
        self.outbox = Outbox(limits.max_unsent, limits.max_kept)
        self._limits = limits
        #: The highest id of the calls received.
        self.received = 0
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        self._free.set()

    def hello(self, *, resumed: bool) -> Hello:
        """The first message on a new connection."""
        return Hello(
            resumed=resumed,
            received=self.received,
            now=self.store.clock.now(),
            store=urlsplit(self.store.url).scheme,
            archive_limit=self.store.archive_limit,
            max_frame=self._limits.max_frame,
            max_payload=self._limits.max_payload,
        )

    @property
    def watching(self) -> int:
        """The number of watches."""
        return len(self._watches)

    async def ready(self) -> None:
        """Wait until another call may be read."""
        while not (self.outbox.has_room and self._free.is_set()):
            await self.outbox.room()
            await self._free.wait()

    # --- messages ---------------------------------------------------------------------------------

    async def handle(self, message: msgspec.Raw) -> None:
        """Start what a message asks for. Waits while too many calls run."""
        try:
            head = decode_request_head(message)
            if not head.id:
                self._handle_notice(decode_any(message))
                return
        except _UNREADABLE as error:
            self._complain(f"a message must be [id, operation, argument, …]: {error}")
            return
        if head.id <= self.received:
            return  # sent again after a reconnect, and received before
        self.received = head.id
        operation = OF_STORE.get(head.operation) or OF_SESSION.get(head.operation)
        if operation is None:
            self._refuse(head.id, f"there is no operation {head.operation[:50]!r}")
            return
        try:
            arguments = operation.decode_request(message)
        except _UNREADABLE as error:
            self._refuse(head.id, f"{operation.name}: {error}")
            return
        await self._free.wait()
        self._start(head.id, operation, arguments)

    def _handle_notice(self, message: list[Any]) -> None:
        match message:
            case [0, "ack", int(received)]:
                self.outbox.acknowledge(received)
            case [0, "cancel", int(id)]:
                task = self._calls.get(id)
                if task is not None:
                    task.cancel()
            case [0, kind, *_]:
                self._complain(f"there is no notice {str(kind)[:50]!r} with these values")

    def _complain(self, text: str) -> None:
        self.outbox.add(encode_notice("error", text[:500]))

    def _refuse(self, id: int, text: str) -> None:
        self.outbox.add(encode_error(id, errors.refused(f"the gateway refuses the call: {text[:500]}")))

    # --- calls ------------------------------------------------------------------------------------

    def _start(self, id: int, operation: Operation, arguments: dict[str, Any]) -> None:
        self._calls[id] = asyncio.create_task(self._run(id, operation, arguments))
        if len(self._calls) >= self._limits.max_calls:
            self._free.clear()

    async def _run(self, id: int, operation: Operation, arguments: dict[str, Any]) -> None:
        try:
            if operation.progress:
                arguments["progress"] = lambda done: self.outbox.add(encode_notice("progress", id, done))
            target = self if operation.name in OF_SESSION else self.store
            reply = operation.encode_reply(id, await operation.call(target, arguments))
        except asyncio.CancelledError:
            self._refuse(id, f"{operation.name}: cancelled")
            raise
        except _Refusal as refusal:
            self._refuse(id, f"{operation.name}: {refusal}")
            return
        except Exception as error:
            reply = encode_error(id, self._error(operation, error))
        finally:
            self._calls.pop(id, None)
            self._free.set()
        self.outbox.add(reply)

    def _error(self, operation: Operation, error: Exception) -> WireError:
        """What the client sees of an error. The rest is logged, under an id that the client sees too."""
        request = secrets.token_hex(6)
        if isinstance(error, AsynqioError) or (operation.value_errors and isinstance(error, ValueError)):
            shown = errors.shown(error, request)
            if errors.is_hidden(error):
                log.warning(
                    "%s failed for a client (request %s): %s",
                    operation.name,
                    request,
                    error,
                    extra={
                        "event": "remote_call_failed",
                        "operation": operation.name,
                        "request_id": request,
                        "error": str(error),
                    },
                )
            return shown
        log.exception(
            "%s failed for a client (request %s)",
            operation.name,
            request,
            extra={
                "event": "remote_call_broken",
                "operation": operation.name,
                "request_id": request,
                "error": str(error),
            },
        )
        return errors.hidden(BrokerRefused, request)

    # --- operations of the session ----------------------------------------------------------------

    async def time(self) -> float:
        """The time of the store."""
        return self.store.clock.now()

    async def watch(self, number: int, topics: list[Topic]) -> None:
        """Send a notice with this number after signals on these topics."""
        await self.unwatch(number)
        if len(self._watches) >= self._limits.max_watches:
            raise _Refusal(f"a client may have {self._limits.max_watches:,} watches: close some of them")
        for topic in topics:
            if not topic or len(topic) != _TOPIC_SIZES.get(topic[0]):
                raise _Refusal(f"there is no topic {'/'.join(topic)[:100]!r}")
        watch = self.store.watch(topics)
        task = self._watches[number] = asyncio.create_task(self._report(number, watch))
        task.add_done_callback(lambda _: watch.close())  # it may be cancelled before it starts

    async def _report(self, number: int, watch: Watch) -> None:
        notice = encode_notice("signal", number)
        while True:
            await watch.wait()
            self.outbox.add(notice)
            await self.outbox.room()

    async def unwatch(self, number: int) -> None:
        """End a watch."""
        task = self._watches.pop(number, None)
        if task is not None:
            await _ended(task)

    async def listen(self) -> None:
        """Send a notice for each request to cancel a task. Raises what the store raises when it begins."""
        if self._listening is None:
            task = self._listening = asyncio.create_task(self._listen())
            await asyncio.sleep(0)  # it begins to listen
            if task.done():
                self._listening = None
                task.result()

    async def _listen(self) -> None:
        while True:
            try:
                async with aclosing(self.store.cancellations()) as requests:  # type: ignore[type-var]
                    async for request in requests:
                        self.outbox.add(encode_notice("cancellation", request))
                        await self.outbox.room()
            except BrokerUnavailable as error:
                log.warning(
                    "cancellations do not reach a client for a moment: %s",
                    error,
                    extra={"event": "remote_listening_failed", "error": str(error)},
                )
                await asyncio.sleep(1.0)

    async def unlisten(self) -> None:
        """End `listen`."""
        task, self._listening = self._listening, None
        if task is not None:
            await _ended(task)

    # --- the end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancel everything. The store hands back what cancelled calls have taken."""
        tasks = [*self._calls.values(), *self._watches.values()]
        if self._listening is not None:
            tasks.append(self._listening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watches.clear()


class _Refusal(Exception):
    """The session itself refuses a call."""


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
