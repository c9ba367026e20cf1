"""One connection to one server, from its first byte to its last.

Callers do not wait for each other: what they send within one turn of the event loop goes out in one piece, and
the answers, which come in the order of the commands, find their callers through a queue. Measured with 50
callers: four to five times what a pool of connections does, for a tenth of the system calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias, cast

import hiredis

from asynqio.brokers.redis.connection import errors as problems
from asynqio.errors import BrokerError

log = logging.getLogger("asynqio.redis")

Word: TypeAlias = bytes | str | int | float
Answer: TypeAlias = "asyncio.Future[Any]"
#: A command that was not sent: its bytes, and who waits for the answer.
Unsent: TypeAlias = tuple[bytes, Answer]

#: A command in the form in which it is sent. Raises TypeError for what is no `Word`.
pack: Callable[[tuple[Word, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub knows one word

_NOTHING: Final = object()
_ASKING: Final = pack(("ASKING",))
_PING: Final = pack(("PING",))
#: Seconds that a late answer gets once its time is up: after a blocked event loop it may lie in the socket.
_GRACE = 0.02


class Announced(asyncio.Future[Any]):
    """The answer to a command and a PING behind it; see `Wire.announce`."""


class Wire(asyncio.Protocol):
    """A connection, as it comes from `dial`. It is used once: when it breaks, another takes its place.

    `on_down` is called once, as soon as nothing more can be sent, with the reason and with what was not sent.
    `on_error` may take over an answer that is an error (True: it did). `on_push` gets what nobody asked for.
    """

    def __init__(
        self,
        where: str,
        timeout: float,
        on_push: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self.where = where
        self.on_down: Callable[[Wire, str, list[Unsent]], None] | None = None
        self.on_error: Callable[[Answer, BrokerError], bool] | None = None
        self._on_push = on_push
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=problems.translate, notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        # This turn's commands and their callers, side by side; then the callers whose command is on its way.
        self._data: list[bytes] = []
        self._calls: list[Answer] = []
        self._expecting: deque[Answer] = deque()
        # Whether a flush is due or pointless: then a call leaves it alone.
        self._held = False
        #: Why nothing more can be sent; empty while it can.
        self.down = ""
        #: Done when the connection is gone; its result is the reason.
        self.gone: asyncio.Future[str] = self._loop.create_future()
        #: The error that it sent before it was asked anything.
        self.farewell: BrokerError | None = None
        # When something was last sent to a silent server, or heard from it.
        self._quiet_since = 0.0
        self._suspect = False
        self._watchdog: asyncio.TimerHandle | None = None

    # --- sending ----------------------------------------------------------------------------------

    def call(self, *words: Word) -> Answer:
        """Send a command. Whoever stops waiting for the answer disturbs nobody."""
        data = pack(words)
        answer: Answer = asyncio.Future(loop=self._loop)
        self._data.append(data)
        self._calls.append(answer)
        if not self._held:
            self._held = True
            self._loop.call_soon(self._flush)
        return answer

    def send(self, data: bytes, answer: Answer, *, asking: bool = False) -> None:
        """The same for a command that is packed already; `asking` lets a cluster node serve a moving slot."""
        if asking:
            self._data.append(_ASKING)
            self._calls.append(self._nobody())
        self._data.append(data)
        self._calls.append(answer)
        if not self._held:
            self._held = True
            self._loop.call_soon(self._flush)

    def announce(self, *words: Word) -> Answer:
        """SUBSCRIBE and its like over RESP3: confirmed by pushes only, but refused by an ordinary error.

        So a PING goes with it: what is answered first tells which of the two it was.
        """
        answer = Announced(loop=self._loop)
        self.send(pack(words) + _PING, answer)
        return answer

    def _nobody(self) -> Answer:
        """For an answer that nobody wants."""
        answer = self._loop.create_future()
        answer.cancel()
        return answer

    def _flush(self) -> None:
        transport = self._transport
        if self.down:
            self._held = False
            self._fail_unsent()
            return
        if transport is None or transport.is_closing():
            return  # still held: `connection_lost` follows and takes them
        self._held = False
        data = self._data
        transport.write(data[0] if len(data) == 1 else b"".join(data))
        if not self._expecting:
            self._quiet_since = self._loop.time()
        self._expecting.extend(self._calls)
        data.clear()
        self._calls.clear()
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._timeout, self._watch)

    def _fail_unsent(self) -> None:
        for _, answer in self._take_unsent():
            if not answer.done():
                answer.set_exception(problems.gone(self.where, self.down))

    def _take_unsent(self) -> list[Unsent]:
        unsent = [pair for pair in zip(self._data, self._calls, strict=True) if not pair[1].done()]
        self._data.clear()
        self._calls.clear()
        return unsent

    # --- receiving --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._quiet_since = self._loop.time()
        self._suspect = False
        expecting = self._expecting
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := gets()) is not _NOTHING:
                if type(reply) is hiredis.PushNotification:
                    self._push(reply)
                elif not expecting and isinstance(reply, BrokerError):
                    # How a server turns clients away at the door.
                    self.farewell = reply
                    self.break_off(str(reply))
                elif not expecting:
                    raise hiredis.ProtocolError(f"an answer without a question: {reply!r:.60}")
                elif isinstance(reply, BrokerError):
                    self._fail(expecting.popleft(), reply)
                else:
                    answer = expecting.popleft()
                    if not answer.done():
                        answer.set_result(reply)
        except hiredis.ProtocolError as error:
            self.break_off(f"it does not speak the Redis protocol: {error}")
        if self.down and not expecting:
            self.close()

    def _fail(self, answer: Answer, error: BrokerError) -> None:
        if type(answer) is Announced:
            self._expecting.appendleft(self._nobody())  # the PONG
        if not answer.done() and not (self.on_error and self.on_error(answer, error)):
            answer.set_exception(error)
        if isinstance(error, problems.Demoted):
            self.retire("it has become a replica")

    def _push(self, frame: list[Any]) -> None:
        if self._on_push is None:
            return
        try:
            self._on_push(frame)
        except Exception:
            # Whatever is wrong there, the answers behind it have their callers.
            log.exception("what Redis at %s pushed could not be handled", self.where)

    def _watch(self) -> None:
        """Is there an answer that does not come? One timer per `timeout`, however many commands."""
        self._watchdog = None
        if not self._expecting:
            return
        wait = self._quiet_since + self._timeout - self._loop.time()
        if wait <= 0:
            if self._suspect:
                self.break_off(f"no answer within {self._timeout:g} s")
                return
            self._suspect, wait = True, _GRACE
        self._watchdog = self._loop.call_later(wait, self._watch)

    # --- the state of the connection --------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there ever was a connection: then there is an end of it as well."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """The server does not keep up: callers wait until it does."""
        self._held = True

    def resume_writing(self) -> None:
        self._held = False
        if self._data:
            self._held = True
            self._loop.call_soon(self._flush)

    def connection_lost(self, error: Exception | None) -> None:
        self.retire(problems.reason(error))
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        while self._expecting:
            answer = self._expecting.popleft()
            if not answer.done():
                answer.set_exception(problems.lost(self.where, self.down))
        if not self.gone.done():
            self.gone.set_result(self.down)

    def retire(self, why: str) -> None:
        """Send nothing more; answers may still come. What was not sent goes to `on_down`, or fails."""
        if self.down:
            return
        self.down = why
        # From now on a call, by somebody who still holds this wire, ends in `_flush`, and fails.
        self._held = False
        if self.on_down is not None:
            self.on_down(self, why, self._take_unsent())
        else:
            self._fail_unsent()
        if not self._expecting:
            self.close()

    def break_off(self, why: str) -> None:
        """Let the connection go at once. Answers that are due are lost."""
        self.retire(why)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the connection in good order."""
        self.retire("closed by us")
        if self._transport is not None:
            self._transport.close()
