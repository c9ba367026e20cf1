"""Connections for push messages: invalidations of client tracking, and Pub/Sub channels, one per master.

They use RESP3, in which a server sends messages that are not replies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from asynqio.brokers.contract.backoff import LONGEST, Backoff
from asynqio.brokers.contract.per_loop import loop_task
from asynqio.brokers.redis.connection.connect import connect, disconnect
from asynqio.brokers.redis.connection.connection import Arg, Connection
from asynqio.brokers.redis.connection.errors import NoPush, RedisError
from asynqio.brokers.redis.connection.topologies.router import Locate, Router
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

log = logging.getLogger("asynqio.redis")

#: Seconds between two checks. A server that disappears silently is noticed within this and `timeout`, and one that
#: becomes a replica within this.
CHECK_EVERY = 15.0
#: Commands that show whether a server is a master, in order of preference: an ACL or a provider may forbid some.
_ROLE_CHECKS = (("ROLE",), ("INFO", "replication"), ("PING",))

OnPush = Callable[[list[Any]], None]


class PushConnection:
    """A connection to one master, to be set up by `on_up`. When it breaks, another one replaces it."""

    def __init__(self, name: str, connection: Connection) -> None:
        #: The name of the master, as the router gives it.
        self.name = name
        self._connection = connection
        self.where = connection.where
        #: Whether `on_up` has returned.
        self.ready = False
        #: Set to have the server checked at once.
        self.check = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether it is set up, and still connected."""
        return self.ready and not self._connection.down_reason

    def call(self, *args: Arg) -> Awaitable[Any]:
        """Send a command that has an ordinary reply; not SUBSCRIBE or UNSUBSCRIBE."""
        return self._connection.call(*args)

    async def is_master(self) -> bool | None:
        """Whether the server is a master; None: it does not say. Also shows that it answers."""
        for args in _ROLE_CHECKS:
            try:
                reply = await self._connection.call(*args)
            except RedisError:
                continue
            if isinstance(reply, list):
                return bool(reply[0] == b"master")
            return None if reply == b"PONG" else b"role:master" in bytes(reply)
        return None

    async def subscribe(self, *channels: str | bytes) -> None:
        """Subscribe to channels. The confirmations arrive as push messages, all before this returns."""
        await self._connection.call_subscribe("SUBSCRIBE", *channels)

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """Unsubscribe from channels."""
        await self._connection.call_subscribe("UNSUBSCRIBE", *channels)


class PushConnections:
    """One push connection per master, reconnected in the background until `close`.

    `on_push` receives each message, such as `[b"invalidate", [b"key"]]` or `[b"message", b"channel", b"text"]`; it
    must not block. `on_up` is awaited on each new connection, also after a restart or failover, and for a new master:
    messages before that are lost. It is cancelled if the connection breaks meanwhile. `on_moved` is called when keys
    may have moved to another master. A connection whose master becomes a replica is replaced: such a server sends
    messages only about what reaches it by replication, and nothing that is published on the new master.
    `on_unsupported` is called when a master has no push messages; it is not connected to again.
    """

    def __init__(
        self,
        settings: RedisSettings,
        router: Router,
        on_push: OnPush,
        on_up: Callable[[PushConnection], Awaitable[None]],
        on_moved: Callable[[], None] = lambda: None,
        on_unsupported: Callable[[BrokerError], None] = lambda error: None,
        *,
        check_every: float = CHECK_EVERY,
    ) -> None:
        self._settings = settings
        self._router = router
        self._on_push = on_push
        self._on_up = on_up
        self._on_moved = on_moved
        self._on_unsupported = on_unsupported
        self._check_every = check_every
        self._current: dict[str, PushConnection] = {}
        #: The names under which a master was reached: then a replica is left.
        self._mastered: set[str] = set()
        #: The names whose connection is lost, and whether its return has been logged.
        self._outages: dict[str, bool] = {}
        self._maintenance: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._stop_following: Callable[[], None] | None = None

    async def open(self) -> None:
        """Start to connect. Does not wait for the servers, and does not fail if they are down."""
        if self._stop_following is None:
            self._stop_following = self._router.on_change(self._follow)
            self._follow()

    async def close(self) -> None:
        """Close all connections."""
        if self._stop_following is not None:
            self._stop_following()
            self._stop_following = None
        for name in [*self._maintenance]:
            self._end(name)
        if self._ending:
            await asyncio.wait([*self._ending])

    def is_ready(self, key: str | None) -> bool:
        """Whether the connection to this key's master is up, and `on_up` has returned."""
        push = self._current.get(self._router.master_of(key))
        return push is not None and push.is_ready

    def ready(self) -> list[PushConnection]:
        """The connections that are set up."""
        return [push for push in self._current.values() if push.is_ready]

    def is_current(self, push: PushConnection, key: str | None) -> bool:
        """Whether this is the connection to this key's master."""
        return self._current.get(self._router.master_of(key)) is push

    def call(self, key: str | None, *args: Arg) -> Awaitable[Any]:
        """Send a command over the connection to this key's master, after the commands that `on_up` has sent so far.

        Raises BrokerUnavailable at once if there is no connection now; `on_up` follows when there is one.
        """
        name = self._router.master_of(key)
        push = self._current.get(name)
        if push is None:
            raise BrokerUnavailable(f"no push connection to Redis at {name or self._settings.location}")
        return push.call(*args)

    # --- one connection per master ----------------------------------------------------------------

    def _follow(self) -> None:
        masters = self._router.masters()
        for name in [*self._maintenance]:
            if name not in masters:
                self._end(name)
        for name, locate in masters.items():
            if name not in self._maintenance:
                self._maintenance[name] = loop_task(
                    self._maintain(name, locate), f"asynqio-redis push {name}"
                )
        for push in self._current.values():
            push.check.set()
        self._on_moved()

    def _end(self, name: str) -> None:
        task = self._maintenance.pop(name)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _maintain(self, name: str, locate: Locate) -> None:
        """Connect, and reconnect whenever the connection is lost, until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while True:
            permanent, since = False, loop.time()
            try:
                why = await self._receive(name, locate)
            except BrokerUnavailable as error:
                why = str(error)
            except NoPush as error:
                self._on_unsupported(error)
                return
            except (BrokerError, ConfigError) as error:
                why, permanent = str(error), True
            except Exception:
                log.exception(
                    "cannot set up the push connection to Redis at %s",
                    name,
                    extra={"event": "push_connection_failed", "broker": name},
                )
                why, permanent = "", True
                self._outages.setdefault(name, False)
            if self._maintenance.get(name) is not asyncio.current_task():
                return  # cancelled, but the driver in `locate` turned the cancellation into an error
            if loop.time() - since > LONGEST:
                backoff.reset()
                self._outages.pop(name, None)
            if name not in self._outages:
                # Once per outage.
                log.warning(
                    "no push connection to Redis at %s: %s",
                    name,
                    why,
                    extra={"event": "push_connection_lost", "broker": name, "error": why},
                )
                self._outages[name] = False
            await asyncio.sleep(backoff.pause(longest=permanent))

    async def _receive(self, name: str, locate: Locate) -> str:
        """Receive over one connection until it ends. Returns the reason."""
        connection = await connect(
            self._settings,
            await locate(),
            on_push=self._on_push,
            resp3=True,
            only_master=self._settings.kind == "sentinel",
        )
        push = self._current[name] = PushConnection(name, connection)
        serving = loop_task(self._serve(push), f"asynqio-redis push set-up {name}")
        try:
            ends: list[asyncio.Future[Any]] = [serving, connection.closed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            why = connection.down_reason
            del self._current[name]
            if not connection.abandoned:
                serving.cancel()
                connection.close()  # before the first wait, which another cancellation may end
                await asyncio.wait([serving])
                await disconnect(connection)
        if not why and not serving.cancelled() and (error := serving.exception()):
            raise error
        return why

    async def _serve(self, push: PushConnection) -> None:
        await self._check(push)
        await self._on_up(push)
        push.ready = True
        if self._outages.get(push.name) is False:
            self._outages[push.name] = True
            log.info(
                "the push connection to Redis at %s is restored, with the server at %s",
                push.name,
                push.where,
                extra={"event": "push_connection_restored", "broker": push.name, "address": push.where},
            )
        while True:
            push.check.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check_every):
                    await push.check.wait()
            await self._check(push)

    async def _check(self, push: PushConnection) -> None:
        """Raises BrokerUnavailable if the server does not answer, or may not be a master any more."""
        is_master = await push.is_master()
        if is_master:
            self._mastered.add(push.name)
        elif is_master is None and push.check.is_set():
            raise BrokerUnavailable(f"the server at {push.where} does not say whether it still is a master")
        elif is_master is False and push.name in self._mastered:
            raise BrokerUnavailable(
                f"the server at {push.where} has become a replica: looking for the new master"
            )
