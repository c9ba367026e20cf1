"""Connections that only listen: to invalidations (client tracking) and to channels, on each master.

They speak RESP3, in which a server may say something that nobody asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from asynqio.brokers.redis.connection.backoff import LONGEST, Backoff
from asynqio.brokers.redis.connection.connect import dial, hang_up
from asynqio.brokers.redis.connection.connection import Wire, Word
from asynqio.brokers.redis.connection.router import Locate, Way
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

log = logging.getLogger("asynqio.redis")

#: Seconds between two signs of life. A server that vanished without a word is noticed within this and `timeout`.
PING_EVERY = 15.0

OnPush = Callable[[list[Any]], None]


class EarLink:
    """One connection of an ear, to set it up. When it breaks there is another, and `on_up` is called again."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.where = wire.where
        #: Whether `on_up` is done with it.
        self.ready = False

    @property
    def hears(self) -> bool:
        """Whether it is set up, and still connected."""
        return self.ready and not self._wire.down

    def call(self, *words: Word) -> Awaitable[Any]:
        """Send a command that is answered in the usual way; not SUBSCRIBE and its like."""
        return self._wire.call(*words)

    async def subscribe(self, *channels: str | bytes) -> None:
        """Hear these channels. The confirmations arrive as pushes; all of them have when this returns."""
        await self._wire.announce("SUBSCRIBE", *channels)

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """Hear these channels no longer."""
        await self._wire.announce("UNSUBSCRIBE", *channels)


class Ears:
    """An ear at each master, kept up in the background for as long as it is open.

    `on_push` gets each frame, such as `[b"invalidate", [b"key"]]` or `[b"message", b"channel", b"text"]`; it
    must not block. `on_up` is awaited on each new connection, also after a restart, a failover, and for a new
    master: what happened before went unheard. It is cancelled when the connection breaks meanwhile.
    """

    def __init__(
        self,
        settings: RedisSettings,
        way: Way,
        on_push: OnPush,
        on_up: Callable[[EarLink], Awaitable[None]],
        *,
        ping_every: float = PING_EVERY,
    ) -> None:
        self._settings = settings
        self._way = way
        self._on_push = on_push
        self._on_up = on_up
        self._ping_every = ping_every
        self._ears: dict[str, EarLink] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._forget: Callable[[], None] | None = None

    async def open(self) -> None:
        """Begin to listen. Does not wait for the servers, and does not fail if they are down."""
        if self._forget is None:
            self._forget = self._way.on_change(self._follow)
            self._follow()

    async def close(self) -> None:
        """Stop listening."""
        if self._forget is not None:
            self._forget()
            self._forget = None
        for name in [*self._keepers]:
            self._end(name)
        if self._ending:
            await asyncio.wait([*self._ending])

    def hears(self, key: str | None) -> bool:
        """Whether the ear at this key's master is connected, and `on_up` is done with it."""
        ear = self._ears.get(self._way.master_of(key))
        return ear is not None and ear.hears

    def holds(self, ear: EarLink, key: str | None) -> bool:
        """Whether this is the ear at this key's master."""
        return self._ears.get(self._way.master_of(key)) is ear

    def call(self, key: str | None, *words: Word) -> Awaitable[Any]:
        """Send a command over the ear at the master of this key, behind what `on_up` has sent so far.

        Raises BrokerUnavailable at once when there is none just now: `on_up` will see to it when there is.
        """
        name = self._way.master_of(key)
        ear = self._ears.get(name)
        if ear is None:
            raise BrokerUnavailable(f"nothing is heard from Redis at {name or self._settings.place} just now")
        return ear.call(*words)

    # --- one ear per master -----------------------------------------------------------------------

    def _follow(self) -> None:
        masters = self._way.masters()
        for name in [*self._keepers]:
            if name not in masters:
                self._end(name)
        for name, locate in masters.items():
            if name not in self._keepers:
                self._keepers[name] = asyncio.create_task(
                    self._keep(name, locate), name=f"asynqio-redis ear {name}"
                )

    def _end(self, name: str) -> None:
        task = self._keepers.pop(name)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _keep(self, name: str, locate: Locate) -> None:
        """Connect, and again whenever the connection is gone, until nobody wants to hear it any more."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        told = False
        while True:
            hopeless, since = False, loop.time()
            try:
                why = await self._listen(name, locate)
            except BrokerUnavailable as error:
                why = str(error)
            except (BrokerError, ConfigError) as error:
                why, hopeless = str(error), True
            except Exception:
                log.exception("an ear at Redis at %s could not be set up", name)
                why, hopeless, told = "", True, True
            if self._keepers.get(name) is not asyncio.current_task():
                return  # cancelled, but `locate` took it for a failure of its own, as the driver does now and then
            if loop.time() - since > LONGEST:
                backoff.reset()
                told = False
            if not told:
                # Once per outage.
                log.warning("nothing is heard from Redis at %s: %s", name, why)
                told = True
            await asyncio.sleep(backoff.pause(longest=hopeless))

    async def _listen(self, name: str, locate: Locate) -> str:
        """Listen over one connection until it ends; why it did."""
        wire = await dial(
            self._settings,
            await locate(),
            on_push=self._on_push,
            resp3=True,
            only_master=self._settings.kind == "sentinel",
        )
        ear = self._ears[name] = EarLink(wire)
        serving = asyncio.create_task(self._serve(ear))
        try:
            ends: list[asyncio.Future[Any]] = [serving, wire.gone]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            why = wire.down
            del self._ears[name]
            serving.cancel()
            await asyncio.wait([serving])
            await hang_up(wire)
        if not why and not serving.cancelled() and (error := serving.exception()):
            raise error
        return why

    async def _serve(self, ear: EarLink) -> None:
        await self._on_up(ear)
        ear.ready = True
        while True:
            await asyncio.sleep(self._ping_every)
            await ear.call("PING")
