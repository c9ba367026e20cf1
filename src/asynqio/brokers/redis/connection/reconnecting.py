"""A connection that comes back: to one server, or to whichever takes its place."""

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

from asynqio.brokers.redis.connection import errors as problems
from asynqio.brokers.redis.connection.backoff import LONGEST, Backoff
from asynqio.brokers.redis.connection.connect import dial, hang_up
from asynqio.brokers.redis.connection.connection import Answer, Unsent, Wire, Word, pack
from asynqio.brokers.redis.connection.errors import RedisError, ReplyLost
from asynqio.brokers.redis.settings import Address, RedisSettings
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

log = logging.getLogger("asynqio.redis")

__all__ = ["Link", "RedisError", "ReplyLost"]


class Link:
    """Sends commands to one server, whatever happens to the connection.

    While it is down, calls wait for it, each up to `patience` seconds. A command that was sent and not answered
    is never sent again: its caller gets ReplyLost and has to find out. `locate` is asked before each connect.
    """

    #: Send a command: `await link.call("GET", "key")`. While the connection is up, this is the wire's own method.
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
        self.where = where or settings.place
        self._only_master = only_master
        self._on_error = on_error
        self._on_down = on_down
        self._wire: Wire | None = None
        self._last: Wire | None = None
        self._keeper: asyncio.Task[None] | None = None
        #: Calls that wait for the connection, oldest first, with the loop's time at which they give up.
        self._waiting: deque[tuple[float, bytes, Answer]] = deque()
        #: Until when those would have waited that were sent at last: the connection may not last.
        self._waited: WeakKeyDictionary[Answer, float] = WeakKeyDictionary()
        self._timer: asyncio.TimerHandle | None = None
        self._why = "not connected yet"
        self._tried = False
        self.call = self._closed

    @property
    def is_up(self) -> bool:
        """Whether a command would be sent at once."""
        return self._wire is not None

    @property
    def is_away(self) -> bool:
        """Whether the server could not be reached when that was last tried, or has just gone away."""
        return self._tried and self._wire is None

    # --- opening and closing ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; does not wait for it."""
        if self._keeper is None:
            self._loop = asyncio.get_running_loop()
            self.call = self._wait
            self._keeper = self._loop.create_task(self._keep(), name=f"asynqio-redis {self.where}")

    async def open(self) -> None:
        """Connect. Raises BrokerUnavailable after `patience`, and BrokerError at once if we are not let in."""
        self.start()
        try:
            # Who may not PING is connected as well.
            with contextlib.suppress(RedisError):
                await self.call("PING")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect for good; calls that are still out fail."""
        keeper, self._keeper = self._keeper, None
        self.call = self._closed
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.wait([keeper])
        self._fail_waiting(lambda: problems.not_open(self.where))

    def retire(self) -> list[Unsent]:
        """Take no more commands: those that were not sent are returned. `close` remains to be called."""
        if self._wire is not None:
            self._wire.retire("it has left the cluster")
        return self.take_waiting()

    async def drained(self) -> None:
        """Wait until a retired link has all its answers, or they are lost."""
        if self._last is not None:
            await asyncio.shield(self._last.gone)

    def take_waiting(self) -> list[Unsent]:
        """What waits for the connection, to be sent elsewhere."""
        waiting = [(data, answer) for _, data, answer in self._waiting]
        self._waiting.clear()
        return waiting

    # --- sending ----------------------------------------------------------------------------------

    def send(self, data: bytes, answer: Answer, *, asking: bool = False) -> None:
        """Send a command that is packed already."""
        if self._wire is not None:
            self._wire.send(data, answer, asking=asking)
        elif self._keeper is None:
            answer.set_exception(problems.not_open(self.where))
        else:
            self._hold(data, answer)

    def _closed(self, *words: Word) -> Awaitable[Any]:
        raise problems.not_open(self.where)

    def _wait(self, *words: Word) -> Awaitable[Any]:
        answer = self._loop.create_future()
        self._hold(pack(words), answer)
        return answer

    def _hold(self, data: bytes, answer: Answer) -> None:
        until = self._waited.pop(answer, None) or self._loop.time() + self._settings.patience
        self._waiting.append((until, data, answer))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._give_up)

    def _give_up(self) -> None:
        """Fail those who waited long enough."""
        self._timer = None
        now = self._loop.time()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][2].done()):
            _, _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(problems.unreachable(self.where, self._why, self._settings.patience))
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._give_up)

    def _fail_waiting(self, error: Callable[[], BrokerError | ConfigError]) -> None:
        for _, answer in self.take_waiting():
            if not answer.done():
                answer.set_exception(error())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- keeping it up ----------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Connect, and again whenever the connection is gone, until closed."""
        backoff = Backoff()
        warned = relieved = False
        while True:
            hopeless = False
            try:
                wire = await dial(self._settings, await self._locate(), only_master=self._only_master)
            except BrokerUnavailable as error:
                self._why = str(error)
            except (BrokerError, ConfigError) as error:
                # Nobody gains by waiting, and by asking often.
                self._why, hopeless = str(error), True
                self._fail_waiting(partial(copy.copy, error))
            except Exception as error:
                # A mistake of ours; whoever calls must not wait for a connection that nobody makes.
                log.exception("connecting to Redis at %s went wrong", self.where)
                self._why, hopeless = problems.reason(error), True
            else:
                since = self._loop.time()
                if warned and not relieved:
                    log.info("Redis at %s is back", self.where)
                    relieved = True
                try:
                    self._up(wire)
                    self._why = await asyncio.shield(wire.gone)
                finally:
                    await hang_up(wire)
                if self._loop.time() - since > LONGEST:
                    backoff.reset()
                    warned = relieved = False
            if self._keeper is None:
                return  # cancelled, but `locate` took it for a failure of its own, as the driver does now and then
            self._tried = True
            if not warned:
                # Once per outage; a connection that does not last does not end it.
                log.warning("no connection to Redis at %s: %s", self.where, self._why)
                warned = True
            await asyncio.sleep(backoff.pause(longest=hopeless))

    def _up(self, wire: Wire) -> None:
        if wire.down:
            return  # it was gone again before we came to look
        wire.on_down, wire.on_error = self._down, self._on_error
        self._wire = self._last = wire
        self.call = wire.call
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for until, _, answer in self._waiting:
            self._waited[answer] = until
        for data, answer in self.take_waiting():
            if not answer.done():
                wire.send(data, answer)

    def _down(self, wire: Wire, why: str, unsent: list[Unsent]) -> None:
        self._wire = None
        self._why = why
        self.call = self._wait if self._keeper is not None else self._closed
        for data, answer in unsent:
            self._hold(data, answer)
        if self._on_down is not None:
            self._on_down()
