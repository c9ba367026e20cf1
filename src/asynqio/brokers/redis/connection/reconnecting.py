"""A connection that reconnects, to the same server or to the one that replaces it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from asynqio.brokers.contract.backoff import LONGEST, Backoff
from asynqio.brokers.contract.per_loop import loop_task
from asynqio.brokers.redis.connection import errors
from asynqio.brokers.redis.connection.connect import connect, disconnect
from asynqio.brokers.redis.connection.connection import Answer, Arg, Connection, Unsent, pack
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.settings import Address, RedisSettings
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

log = logging.getLogger("asynqio.redis")


class ReconnectingConnection:
    """Sends commands to one server, and reconnects when the connection breaks.

    While it is down, calls wait for it, each up to `patience` seconds. A command that was sent is never sent again:
    if its reply is lost, the caller gets ReplyLost. `locate` returns the address before each connect.
    """

    #: Send a command: `await connection.call("GET", "key")`. While up, this is the method of the open connection.
    call: Callable[..., Awaitable[Any]]

    def __init__(
        self,
        settings: RedisSettings,
        locate: Callable[[], Awaitable[Address]],
        *,
        where: str = "",
        only_master: bool = False,
        on_error: Callable[[Answer, BrokerError], bool] | None = None,
        on_down: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._locate = locate
        self.where = where or settings.location
        self._only_master = only_master
        self._on_error = on_error
        self._on_down = on_down
        self._connection: Connection | None = None
        self._last: Connection | None = None
        self._maintenance: asyncio.Task[None] | None = None
        #: Calls that wait for the connection, oldest first, with the loop time at which they fail.
        self._waiting: deque[tuple[float, bytes, Answer]] = deque()
        #: The deadlines of calls that were sent after waiting: if they are returned unsent, the deadline still holds.
        self._deadlines: WeakKeyDictionary[Answer, float] = WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None
        self._why = "not connected yet"
        self._tried = False
        self.call = self._closed

    @property
    def is_up(self) -> bool:
        """Whether a command would be sent at once."""
        return self._connection is not None

    @property
    def is_away(self) -> bool:
        """Whether the last attempt to connect failed, or the connection has been lost since."""
        return self._tried and self._connection is None

    # --- opening and closing ----------------------------------------------------------------------

    def start(self) -> None:
        """Start to connect, without waiting."""
        if self._maintenance is None:
            self._loop = asyncio.get_running_loop()
            self.call = self._wait
            self._maintenance = loop_task(self._maintain(), f"asynqio-redis {self.where}")

    async def open(self) -> None:
        """Connect. Raises BrokerUnavailable after `patience` seconds, and BrokerError at once if refused."""
        self.start()
        try:
            # An ACL that forbids PING still proves that the connection is up.
            with contextlib.suppress(RedisError):
                await self.call("PING")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect permanently; pending calls fail."""
        maintenance, self._maintenance = self._maintenance, None
        self.call = self._closed
        if maintenance is None:
            return
        maintenance.cancel()
        await asyncio.wait([maintenance])
        self._fail_waiting(lambda: errors.not_open(self.where))

    def retire(self) -> list[Unsent]:
        """Accept no more commands, and return the unsent ones. Call `close` afterwards."""
        if self._connection is not None:
            self._connection.retire("the node has left the cluster")
        return self.take_waiting()

    async def drained(self) -> None:
        """Wait until a retired connection has received all replies, or lost them."""
        if self._last is not None:
            await asyncio.shield(self._last.closed)

    def take_waiting(self) -> list[Unsent]:
        """Remove and return the commands that wait for the connection."""
        waiting = [(data, answer) for _, data, answer in self._waiting]
        self._waiting.clear()
        return waiting

    # --- sending ----------------------------------------------------------------------------------

    def send(self, data: bytes, answer: Answer, *, asking: bool = False, at_once: bool = False) -> None:
        """Send an encoded command; see `Connection.send`."""
        if self._connection is not None:
            self._connection.send(data, answer, asking=asking, at_once=at_once)
        elif self._maintenance is None:
            answer.set_exception(errors.not_open(self.where))
        else:
            self._queue(data, answer)

    def _closed(self, *args: Arg) -> Awaitable[Any]:
        raise errors.not_open(self.where)

    def _wait(self, *args: Arg) -> Awaitable[Any]:
        answer = self._loop.create_future()
        self._queue(pack(args), answer)
        return answer

    def _queue(self, data: bytes, answer: Answer) -> None:
        until = self._deadlines.pop(answer, None) or self._loop.time() + self._settings.patience
        self._waiting.append((until, data, answer))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._expire)

    def _expire(self) -> None:
        """Fail the calls whose deadline has passed."""
        self._timer = None
        now = self._loop.time()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][2].done()):
            _, _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(errors.unreachable(self.where, self._why, self._settings.patience))
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._expire)

    def _fail_waiting(self, error: Callable[[], BrokerError | ConfigError]) -> None:
        for _, answer in self.take_waiting():
            if not answer.done():
                answer.set_exception(error())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- keeping it up ----------------------------------------------------------------------------

    async def _maintain(self) -> None:
        """Connect, and reconnect whenever the connection is lost, until closed."""
        backoff = Backoff()
        warned = recovered = False
        while True:
            permanent = False
            try:
                connection = await connect(
                    self._settings, await self._locate(), only_master=self._only_master
                )
            except BrokerUnavailable as error:
                self._why = str(error)
            except (BrokerError, ConfigError) as error:
                # A retry cannot succeed soon: fail waiting calls, and use the longest delay.
                self._why, permanent = str(error), True
                self._fail_waiting(partial(copy.copy, error))
            except Exception as error:
                # An internal error; calls must not wait for a connection that will not be made.
                log.exception(
                    "internal error while connecting to Redis at %s",
                    self.where,
                    extra={"event": "connection_failed", "broker": self.where},
                )
                self._why, permanent = errors.reason(error), True
            else:
                since = self._loop.time()
                if warned and not recovered:
                    log.info(
                        "reconnected to Redis at %s",
                        self.where,
                        extra={"event": "connection_restored", "broker": self.where},
                    )
                    recovered = True
                try:
                    self._on_connected(connection)
                    self._why = await asyncio.shield(connection.closed)
                finally:
                    await disconnect(connection)
                if self._loop.time() - since > LONGEST:
                    backoff.reset()
                    warned = recovered = False
            if self._maintenance is None:
                return  # cancelled, but the driver in `locate` turned the cancellation into an error
            self._tried = True
            if not warned:
                # Once per outage; a short-lived connection does not end it.
                log.warning(
                    "no connection to Redis at %s: %s",
                    self.where,
                    self._why,
                    extra={"event": "connection_lost", "broker": self.where, "error": self._why},
                )
                warned = True
            await asyncio.sleep(backoff.pause(longest=permanent))

    def _on_connected(self, connection: Connection) -> None:
        if connection.down_reason:
            return  # lost again before this ran
        connection.on_down, connection.on_error = self._on_lost, self._on_error
        self._connection = self._last = connection
        self.call = connection.call
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for until, _, answer in self._waiting:
            self._deadlines[answer] = until
        for data, answer in self.take_waiting():
            if not answer.done():
                connection.send(data, answer)

    def _on_lost(self, connection: Connection, why: str, unsent: list[Unsent]) -> None:
        self._connection = None
        self._why = why
        self.call = self._wait if self._maintenance is not None else self._closed
        for data, answer in unsent:
            self._queue(data, answer)
        if self._on_down is not None:
            self._on_down()
