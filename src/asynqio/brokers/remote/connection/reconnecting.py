"""Calls over a connection that reconnects and resumes its session.

A session survives its connection for some seconds: the gateway keeps what it could not deliver, and the client
repeats what did not arrive. So a broken connection loses no call and repeats none. If the session is gone (another
gateway, one that was restarted), calls that were sent are repeated only where that does no harm; the others fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from asynqio.brokers.contract.backoff import LONGEST, Backoff
from asynqio.brokers.contract.connecting import reason
from asynqio.brokers.contract.per_loop import loop_task
from asynqio.brokers.remote.connection import errors
from asynqio.brokers.remote.connection.calls import Call, Reply
from asynqio.brokers.remote.connection.connect import connect, disconnect
from asynqio.brokers.remote.connection.connection import Connection
from asynqio.brokers.remote.settings import RemoteSettings
from asynqio.brokers.remote.wire.frames import pack_frames, unpack_frame
from asynqio.brokers.remote.wire.hello import Hello, decode_any, decode_head, session_header
from asynqio.brokers.remote.wire.operation import Operation, encode_notice
from asynqio.errors import AsynqioError, BrokerError, BrokerUnavailable, CannotStore, ConfigError

log = logging.getLogger("asynqio.remote")

#: Number and total bytes of received frames after which the client acknowledges them.
ACK_FRAMES, ACK_BYTES = 16, 1_000_000


class ReconnectingConnection:
    """Sends calls to a gateway. While the connection is down, calls wait for it, each up to `patience` seconds.

    `on_up` is called with each hello of the gateway, `on_notice` with the kind and the values of each notice.
    """

    def __init__(
        self,
        settings: RemoteSettings,
        on_up: Callable[[Hello], None],
        on_notice: Callable[[str, list[Any]], None],
    ) -> None:
        self.where = settings.location
        self._settings = settings
        self._on_up = on_up
        self._on_notice = on_notice
        self._loop = asyncio.get_running_loop()
        self._session = secrets.token_urlsafe(24)
        self._last_id = 0
        #: By id, which is the order of the calls.
        self._calls: dict[int, Call] = {}
        self._unsent: list[Call] = []
        self._notices: list[bytes] = []
        self._flush_scheduled = False
        #: Frames received in this session, and those and their bytes that were not acknowledged.
        self._received = self._unacknowledged = self._unacknowledged_bytes = 0
        self._connection: Connection | None = None
        self._maintenance: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._down_since = 0.0
        self._why = "not connected yet"
        #: The last hello.
        self.hello: Hello | None = None

    # --- opening and closing ----------------------------------------------------------------------

    def start(self) -> None:
        """Start to connect, without waiting."""
        if self._maintenance is None:
            self._down_since = self._loop.time()
            self._maintenance = loop_task(self._maintain(), f"asynqio-remote {self.where}")

    async def close(self) -> None:
        """Disconnect permanently; pending calls fail."""
        maintenance, self._maintenance = self._maintenance, None
        if maintenance is None:
            return
        maintenance.cancel()
        await asyncio.wait([maintenance])
        self._fail_all(lambda: errors.not_open(self.where))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- sending ----------------------------------------------------------------------------------

    def send(
        self,
        operation: Operation,
        arguments: Sequence[Any],
        *,
        progress: Callable[[int], None] | None = None,
        late: Callable[[Reply], None] | None = None,
    ) -> Call:
        """Send a call, together with others of this iteration of the event loop. Raises CannotStore."""
        if self._maintenance is None:
            raise errors.not_open(self.where)
        self._last_id += 1
        try:
            data = operation.encode_request(self._last_id, arguments)
        except (TypeError, ValueError, OverflowError) as error:
            raise CannotStore(f"{operation.name}: an argument cannot be sent: {error}") from error
        answer = self._loop.create_future()
        call = Call(self._last_id, operation, data, answer, self._loop.time(), progress, late)
        self._calls[call.id] = call
        self._unsent.append(call)
        self._schedule_flush()
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline(call), self._expire)
        return call

    def withdraw(self, call: Call) -> bool:
        """Forget a call if it was not sent. Otherwise its answer is still received."""
        if call.sent_at:
            return False
        self._calls.pop(call.id, None)
        call.answer.cancel()
        return True

    def notify(self, kind: str, *values: Any) -> None:
        """Send a notice; it is lost if the connection is down."""
        if self._connection is not None:
            self._notices.append(encode_notice(kind, *values))
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        connection = self._connection
        if connection is None or not connection.writable or self.hello is None:
            return
        calls, self._unsent = self._unsent, []
        messages, self._notices = self._notices, []
        now = self._loop.time()
        for call in calls:
            if call.answer.done():  # its caller was cancelled
                self._calls.pop(call.id, None)
            elif len(call.data) > self.hello.max_frame - 16:
                self._finish(call, _too_large(call, self.hello))
            else:
                call.sent_at = now
                messages.append(call.data)
        if messages:
            connection.send(list(pack_frames(messages)))

    # --- receiving --------------------------------------------------------------------------------

    def _receive(self, connection: Connection, frame: bytes) -> None:
        try:
            messages = unpack_frame(frame)
            if connection is not self._connection:
                self._greet(connection, msgspec.convert(decode_any(messages[0])[2], Hello))
                return
        except (msgspec.MsgspecError, IndexError) as error:
            connection.abort(f"protocol error: {error}")
            return
        self._received += 1
        self._unacknowledged += 1
        self._unacknowledged_bytes += len(frame)
        for message in messages:
            self._receive_message(message)
        if self._unacknowledged >= ACK_FRAMES or self._unacknowledged_bytes >= ACK_BYTES:
            self._unacknowledged = self._unacknowledged_bytes = 0
            self.notify("ack", self._received)

    def _receive_message(self, message: msgspec.Raw) -> None:
        try:
            id = decode_head(message).id
            if not id:
                _, kind, *values = decode_any(message)
                self._receive_notice(kind, values)
                return
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            log.error(
                "the gateway at %s sent a message that cannot be read: %s",
                self.where,
                error,
                extra={"event": "message_unreadable", "broker": self.where, "error": str(error)},
            )
            return
        call = self._calls.get(id)
        if call is None:
            return
        answer: Any = None
        problem: Exception | None = None
        try:
            answer = call.operation.decode_reply(message)
        except msgspec.MsgspecError as error:
            problem = BrokerError(
                f"the answer of the gateway at {self.where} to {call.operation.name} cannot be read ({error}): its "
                "version does not fit this one"
            )
        except (AsynqioError, ValueError) as error:
            problem = error
        self._finish(call, problem, answer)

    def _finish(self, call: Call, problem: Exception | None, answer: Any = None) -> None:
        self._calls.pop(call.id, None)
        if call.answer.done():
            return
        if problem is None:
            call.answer.set_result(answer)
        else:
            call.answer.set_exception(problem)

    def _receive_notice(self, kind: str, values: list[Any]) -> None:
        if kind == "progress":
            call = self._calls.get(values[0])
            if call is not None:
                call.sent_at = self._loop.time()  # it is alive
                if call.progress is not None and not call.answer.done():
                    call.progress(values[1])
        else:
            self._on_notice(kind, values)

    # --- time limits ------------------------------------------------------------------------------

    def _deadline(self, call: Call) -> float:
        if self._connection is None:
            return max(call.started_at, self._down_since) + self._settings.patience
        return (call.sent_at or call.started_at) + self._settings.call_timeout

    def _expire(self) -> None:
        """Fail the calls whose time is over."""
        self._timer = None
        now = self._loop.time()
        for call in [call for call in self._calls.values() if self._deadline(call) <= now]:
            self._give_up(call)
        self._reset_timer()

    def _give_up(self, call: Call) -> None:
        if self._connection is not None:
            error = errors.overdue(self.where, call.operation.name, self._settings.call_timeout)
        elif call.sent_at:
            error = errors.lost(self.where, self._why)
        else:
            error = errors.unreachable(self.where, self._why, self._settings.patience)
        if call.give_up(error, may_arrive=call.sent_at > 0):
            call.sent_at = call.started_at = self._loop.time()
        else:
            del self._calls[call.id]
            if self._connection is not None:
                self.notify("cancel", call.id)

    def _reset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._calls:
            at = min(map(self._deadline, self._calls.values()))
            self._timer = self._loop.call_at(at, self._expire)

    def _fail_all(self, error: Callable[[], BrokerError | ConfigError]) -> None:
        calls, self._calls, self._unsent = self._calls, {}, []
        for call in calls.values():
            call.give_up(error(), may_arrive=False)

    # --- keeping it up ----------------------------------------------------------------------------

    async def _maintain(self) -> None:
        """Connect, and reconnect whenever the connection is lost, until closed."""
        backoff = Backoff()
        warned = recovered = False
        while True:
            permanent = False
            try:
                connection = await connect(
                    self._settings, session_header(self._session, self._received), self._receive
                )
            except BrokerUnavailable as error:
                self._why = str(error)
            except (BrokerError, ConfigError) as error:
                # A retry cannot succeed soon: fail waiting calls, and use the longest delay.
                self._why, permanent = str(error), True
                self._fail_all(partial(copy.copy, error))
            except Exception as error:
                # An internal error; calls must not wait for a connection that will not be made.
                log.exception(
                    "internal error while connecting to the gateway at %s",
                    self.where,
                    extra={"event": "connection_failed", "broker": self.where},
                )
                self._why, permanent = reason(error), True
            else:
                since = self._loop.time()
                try:
                    if await self._greeted(connection) and warned and not recovered:
                        log.info(
                            "reconnected to the gateway at %s",
                            self.where,
                            extra={"event": "connection_restored", "broker": self.where},
                        )
                        recovered = True
                    self._why = await asyncio.shield(connection.closed)
                finally:
                    self._set_down()
                    await disconnect(connection)
                if self._loop.time() - since > LONGEST:
                    backoff.reset()
                    warned = recovered = False
            if self._maintenance is None:
                return
            if not warned:
                # Once per outage; a short-lived connection does not end it.
                log.warning(
                    "no connection to the gateway at %s: %s",
                    self.where,
                    self._why,
                    extra={"event": "connection_lost", "broker": self.where, "error": self._why},
                )
                warned = True
            await asyncio.sleep(backoff.pause(longest=permanent))

    async def _greeted(self, connection: Connection) -> bool:
        """Wait for the hello. If there is none in time, the connection is aborted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.connect_timeout):
                either: list[asyncio.Future[Any]] = [connection.greeted, connection.closed]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not connection.greeted.done():
            connection.abort("the gateway said no hello")
        return connection.greeted.done()

    def _greet(self, connection: Connection, hello: Hello) -> None:
        """The session begins or goes on: send what did not arrive."""
        if connection.greeted.done():
            return  # replaced already
        connection.greeted.set_result(None)
        if not hello.resumed:
            self._received = self._unacknowledged = self._unacknowledged_bytes = 0
        for call in list(self._calls.values()):
            if not call.sent_at or (hello.resumed and call.id <= hello.received):
                continue
            if hello.resumed or (call.operation.repeatable and not call.answer.done()):
                call.sent_at = 0.0
            else:
                del self._calls[call.id]
                call.give_up(errors.lost(self.where, self._why), may_arrive=False)
        self._unsent = [call for call in self._calls.values() if not call.sent_at]
        self._notices.clear()
        self.hello = hello
        self._connection = connection
        connection.on_writable = self._flush
        connection.is_waiting = self._calls.__len__
        self._on_up(hello)
        self._reset_timer()
        self._flush()

    def _set_down(self) -> None:
        if self._connection is not None:
            self._connection = None
            self._down_since = self._loop.time()
            self._reset_timer()


def _too_large(call: Call, hello: Hello) -> CannotStore:
    return CannotStore(
        f"{call.operation.name}: the call has {len(call.data):,} bytes, the gateway accepts {hello.max_frame:,}: "
        "send fewer tasks at a time, or store the data elsewhere"
    )
