"""A Redis cluster: one connection per master, and the map from slots to masters.

The map comes from CLUSTER SLOTS on our own connection, not from redis-py's RedisCluster, which would open a pool per
node and keep its own state of which nodes are up. All versions from 3 to Valkey 9 support this command.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from asynqio.brokers.contract.backoff import FIRST, Backoff
from asynqio.brokers.contract.per_loop import loop_task
from asynqio.brokers.redis.connection import errors
from asynqio.brokers.redis.connection.connect import connect, disconnect
from asynqio.brokers.redis.connection.connection import Answer, Arg, Unsent, pack
from asynqio.brokers.redis.connection.errors import Reconfiguring, RedisError
from asynqio.brokers.redis.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.redis.connection.script_calls import Call, unknown_script
from asynqio.brokers.redis.connection.topologies.cluster_slots import (
    SLOTS,
    SlotRange,
    redirection,
    slot_of,
    slot_ranges,
)
from asynqio.brokers.redis.connection.topologies.router import Locate
from asynqio.brokers.redis.settings import Address, RedisSettings, format_address
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

log = logging.getLogger("asynqio.redis")

#: Seconds between two refreshes of the map without a reason: a new master that holds none of our keys would not be
#: noticed otherwise.
REFRESH_EVERY = 60.0
#: How many MOVED replies a call follows without a delay. One is normal; more mean that the nodes disagree.
_HOPS = 3


class Cluster:
    """Routes each command to its node, and follows slot migrations and failovers."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._connections: dict[tuple[str, int], ReconnectingConnection] = {}
        self._slots: list[ReconnectingConnection | None] = [None] * SLOTS
        self._addresses: dict[ReconnectingConnection, tuple[str, int]] = {}
        self._maintenance: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._master_addresses: set[tuple[str, int]] = set()
        self._listeners: list[Callable[[], None]] = []
        #: Whether a redirection has changed the map since the last refresh.
        self._slots_moved = False
        self._why = "not connected yet"
        self._turn = 0

    # --- opening and closing ----------------------------------------------------------------------

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._refresh_needed = asyncio.Event()
        until = self._loop.time() + self._settings.patience
        backoff = Backoff()
        while True:
            try:
                self._apply(await self._discover())
                break
            except BrokerUnavailable as error:
                if self._loop.time() >= until:
                    raise errors.unreachable(
                        self._settings.location, str(error), self._settings.patience
                    ) from error
            await asyncio.sleep(backoff.pause())
        self._maintenance = loop_task(self._maintain(), "asynqio-redis cluster")

    async def close(self) -> None:
        maintenance, self._maintenance = self._maintenance, None
        tasks = [*self._leaving] + ([maintenance] if maintenance else [])
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(connection.close() for connection in self._addresses))
        self._connections.clear()
        self._addresses.clear()
        self._slots = [None] * SLOTS

    # --- sending ----------------------------------------------------------------------------------

    def command(self, key: str | None, /, *args: Arg) -> Awaitable[Any]:
        if self._maintenance is None:
            raise errors.not_open(self._settings.location)
        call = Call(self._loop, key, args)
        self.send(call)
        return call

    def send(self, call: Call) -> None:
        if call.done():
            return
        if self._maintenance is None:
            call.set_exception(errors.not_open(self._settings.location))
            return
        connection = self._next_master() if call.key is None else self._slots[slot_of(call.key)]
        if connection is None:
            self._retry_later(call, "no master serves the slot of this key")
        else:
            connection.send(pack(call.args), call, at_once=call.at_once)

    async def everywhere(self, *args: Arg) -> list[Any]:
        return await asyncio.gather(*(connection.call(*args) for connection in self._masters().values()))

    def _masters(self) -> dict[str, ReconnectingConnection]:
        return {format_address(address): connection for address, connection in self._connections.items()}

    def _next_master(self) -> ReconnectingConnection | None:
        """The masters in turn; those that are up, if any."""
        connections = [connection for connection in self._connections.values() if connection.is_up] or [
            *self._connections.values()
        ]
        self._turn += 1
        return connections[self._turn % len(connections)] if connections else None

    # --- for push connections ---------------------------------------------------------------------

    def masters(self) -> Mapping[str, Locate]:
        return {format_address(address): partial(_fixed, address) for address in self._master_addresses}

    def master_of(self, key: str | None) -> str:
        connection = self._next_master() if key is None else self._slots[slot_of(key)]
        return format_address(self._addresses[connection]) if connection is not None else ""

    def is_away(self, key: str) -> bool:
        connection = self._slots[slot_of(key)]
        return connection is None or connection.is_away

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    # --- error replies ----------------------------------------------------------------------------

    def _on_error(self, asked: tuple[str, int], answer: Answer, error: BrokerError) -> bool:
        if type(answer) is not Call or self._maintenance is None:
            return False
        if unknown_script(answer, error):
            self.send(answer)
            return True
        if isinstance(error, Reconfiguring):
            self._refresh_needed.set()
            self._retry_later(answer, error.text)
            return True
        if not isinstance(error, RedisError) or error.code not in ("MOVED", "ASK"):
            return False
        slot, address = redirection(error.text, asked)
        answer.hops += 1
        if error.code == "MOVED":
            # The redirection is newer than our map; refresh the rest once, however many calls are redirected.
            self._slots[slot] = self._connection_to(address)
            self._slots_moved = True
            self._refresh_needed.set()
        if answer.hops > _HOPS:
            self._retry_later(answer, "its nodes disagree on which of them serves this slot")
        elif error.code == "ASK":
            self._connection_to(address).send(pack(answer.args), answer, asking=True)
        else:
            self.send(answer)
        return True

    def _retry_later(self, call: Call, why: str) -> None:
        """Send the call again after a short delay, for at most `patience` seconds."""
        now = self._loop.time()
        call.until = call.until or now + self._settings.patience
        if now >= call.until:
            call.set_exception(Reconfiguring(why))
            return
        call.hops = 0
        self._refresh_needed.set()
        self._loop.call_later(FIRST, self.send, call)

    # --- the map ----------------------------------------------------------------------------------

    async def _maintain(self) -> None:
        """Refresh the map when something indicates a change, until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with asyncio.timeout(REFRESH_EVERY):
                    await self._refresh_needed.wait()
            except TimeoutError:
                log.debug(
                    "refreshing the slot map of the Redis cluster",
                    extra={"event": "cluster_map_refreshed", "broker": self._settings.location},
                )
            self._refresh_needed.clear()
            try:
                self._apply(await self._discover())
                self._why = ""
            except (BrokerError, ConfigError) as error:
                if str(error) != self._why:
                    self._why = str(error)
                    log.warning(
                        "cannot refresh the slot map of the Redis cluster at %s: %s",
                        self._settings.location,
                        error,
                        extra={
                            "event": "cluster_map_failed",
                            "broker": self._settings.location,
                            "error": str(error),
                        },
                    )
            except Exception:
                self._why = "internal error"
                log.exception(
                    "internal error while refreshing the slot map of the Redis cluster at %s",
                    self._settings.location,
                    extra={"event": "cluster_map_failed", "broker": self._settings.location},
                )
            if not self._why and all(connection.is_up for connection in self._connections.values()):
                backoff.reset()
            else:
                self._refresh_needed.set()
            await asyncio.sleep(backoff.pause())

    async def _discover(self) -> list[SlotRange]:
        """Query the nodes one by one: connected ones first, then those in the URL."""
        up = [address for address, connection in self._connections.items() if connection.is_up]
        failures: dict[str, BrokerUnavailable] = {}
        for address in dict.fromkeys((*up, *self._settings.nodes, *self._connections)):
            try:
                return await self._query(address)
            except BrokerUnavailable as error:
                failures[format_address(address)] = error
            except RedisError as error:
                if "cluster support disabled" in error.text:
                    raise BrokerError(
                        f"Redis at {format_address(address)} is not a cluster: write redis://, not redis+cluster://"
                    ) from error
                raise
        raise BrokerUnavailable("; ".join(f"{name}: {error}" for name, error in failures.items()))

    async def _query(self, address: tuple[str, int]) -> list[SlotRange]:
        connection = self._connections.get(address)
        if connection is not None and connection.is_up:
            answer = await connection.call("CLUSTER", "SLOTS")
        else:
            probe = await connect(self._settings, address)
            try:
                answer = await probe.call("CLUSTER", "SLOTS")
            finally:
                await disconnect(probe)
        found = list(slot_ranges(answer, address))
        if not found:
            raise BrokerUnavailable("it does not know a master for any slot (yet)")
        return found

    def _apply(self, found: list[SlotRange]) -> None:
        slots: list[ReconnectingConnection | None] = [None] * SLOTS
        for first, last, address in found:
            slots[first : last + 1] = [self._connection_to(address)] * (last + 1 - first)
        moved = self._slots_moved or slots != self._slots
        self._slots, self._slots_moved = slots, False
        masters = {address for _, _, address in found}
        for address in set(self._connections) - masters:
            self._remove(address)
        if moved or masters != self._master_addresses:
            self._master_addresses = masters
            for callback in self._listeners:
                callback()

    def _connection_to(self, address: tuple[str, int]) -> ReconnectingConnection:
        """The connection to a node; a new one starts to connect."""
        connection = self._connections.get(address)
        if connection is None:
            connection = self._connections[address] = ReconnectingConnection(
                self._settings,
                partial(_fixed, address),
                where=format_address(address),
                on_error=partial(self._on_error, address),
                on_down=self._refresh_needed.set,
            )
            self._addresses[connection] = address
            connection.start()
        return connection

    def _remove(self, address: tuple[str, int]) -> None:
        """A node is no longer a master. It may still reply; unsent calls are routed again."""
        connection = self._connections.pop(address)
        self._redirect(connection.retire())
        task = self._loop.create_task(self._close_when_drained(connection))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _redirect(self, unsent: list[Unsent]) -> None:
        for _, answer in unsent:
            if isinstance(answer, Call):
                self.send(answer)
            elif not answer.done():
                answer.set_exception(BrokerUnavailable("this node has left the Redis cluster: retry"))

    async def _close_when_drained(self, connection: ReconnectingConnection) -> None:
        try:
            await connection.drained()
        finally:
            await connection.close()
            del self._addresses[connection]


async def _fixed(address: tuple[str, int]) -> Address:
    return address
