"""The way to a Redis cluster: one link to each master, and a map that says who serves which slot.

The map comes from CLUSTER SLOTS over a connection of our own, and not from redis-py's RedisCluster: that one
answers the same question, but opens a pool to each node, and keeps its own opinion about who is up. One command
that all versions from 3 to Valkey 9 understand is the sturdier half of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from asynqio.brokers.redis.connection import errors as problems
from asynqio.brokers.redis.connection.backoff import FIRST, Backoff
from asynqio.brokers.redis.connection.cluster_slots import SLOTS, Range, ranges, redirection, slot_of
from asynqio.brokers.redis.connection.connect import dial, hang_up
from asynqio.brokers.redis.connection.connection import Answer, Unsent, Word, pack
from asynqio.brokers.redis.connection.errors import RedisError, Unsettled
from asynqio.brokers.redis.connection.reconnecting import Link
from asynqio.brokers.redis.connection.router import Call, Locate, unknown_script
from asynqio.brokers.redis.settings import Address, RedisSettings, written
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError

log = logging.getLogger("asynqio.redis")

#: Seconds between two looks at the map when nothing points to a change: a new master that we have no key on
#: would not be noticed otherwise.
LOOK_EVERY = 60.0
#: So often a call follows MOVED without a pause: once is the rule, more is a cluster that cannot decide.
_HOPS = 3


class Cluster:
    """Finds the node for each command, and follows when slots move and masters change."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._links: dict[tuple[str, int], Link] = {}
        self._slots: list[Link | None] = [None] * SLOTS
        self._addresses: dict[Link, tuple[str, int]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._known: set[tuple[str, int]] = set()
        self._listeners: list[Callable[[], None]] = []
        self._why = "not connected yet"
        self._turn = 0

    # --- opening and closing ----------------------------------------------------------------------

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        until = self._loop.time() + self._settings.patience
        backoff = Backoff()
        while True:
            try:
                self._adopt(await self._discover())
                break
            except BrokerUnavailable as error:
                if self._loop.time() >= until:
                    raise problems.unreachable(
                        self._settings.place, str(error), self._settings.patience
                    ) from error
            await asyncio.sleep(backoff.pause())
        self._keeper = self._loop.create_task(self._keep(), name="asynqio-redis cluster")

    async def close(self) -> None:
        keeper, self._keeper = self._keeper, None
        tasks = [*self._leaving] + ([keeper] if keeper else [])
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*(link.close() for link in self._addresses))
        self._links.clear()
        self._addresses.clear()
        self._slots = [None] * SLOTS

    # --- sending ----------------------------------------------------------------------------------

    def command(self, key: str | None, /, *words: Word) -> Awaitable[Any]:
        if self._keeper is None:
            raise problems.not_open(self._settings.place)
        call = Call(self._loop, key, words)
        self.send(call)
        return call

    def send(self, call: Call) -> None:
        if call.done():
            return
        if self._keeper is None:
            call.set_exception(problems.not_open(self._settings.place))
            return
        link = self._any() if call.key is None else self._slots[slot_of(call.key)]
        if link is None:
            self._later(call, "no master serves the slot of this key")
        else:
            link.send(pack(call.words), call)

    async def everywhere(self, *words: Word) -> list[Any]:
        return await asyncio.gather(*(link.call(*words) for link in self._masters().values()))

    def _masters(self) -> dict[str, Link]:
        return {written(address): link for address, link in self._links.items()}

    def _any(self) -> Link | None:
        """One master after the other, those first that are up."""
        links = [link for link in self._links.values() if link.is_up] or [*self._links.values()]
        self._turn += 1
        return links[self._turn % len(links)] if links else None

    # --- what the ears want to know ---------------------------------------------------------------

    def masters(self) -> Mapping[str, Locate]:
        return {written(address): partial(_here, address) for address in self._known}

    def master_of(self, key: str | None) -> str:
        link = self._any() if key is None else self._slots[slot_of(key)]
        return written(self._addresses[link]) if link is not None else ""

    def is_away(self, key: str) -> bool:
        link = self._slots[slot_of(key)]
        return link is None or link.is_away

    def on_change(self, tell: Callable[[], None]) -> Callable[[], None]:
        self._listeners.append(tell)
        return lambda: self._listeners.remove(tell)

    # --- when a node says no ----------------------------------------------------------------------

    def _on_error(self, asked: tuple[str, int], answer: Answer, error: BrokerError) -> bool:
        if type(answer) is not Call or self._keeper is None:
            return False
        if unknown_script(answer, error):
            self.send(answer)
            return True
        if isinstance(error, Unsettled):
            self._wanted.set()
            self._later(answer, error.text)
            return True
        if not isinstance(error, RedisError) or error.code not in ("MOVED", "ASK"):
            return False
        slot, address = redirection(error.text, asked)
        answer.hops += 1
        if error.code == "MOVED":
            # Who sent us away knows better than our map; the rest of it is asked for once, whoever else is sent.
            self._slots[slot] = self._link(address)
            self._wanted.set()
        if answer.hops > _HOPS:
            self._later(answer, "its nodes do not agree about who serves this slot")
        elif error.code == "ASK":
            self._link(address).send(pack(answer.words), answer, asking=True)
        else:
            self.send(answer)
        return True

    def _later(self, call: Call, why: str) -> None:
        """Send it again in a moment, for as long as a call is patient."""
        now = self._loop.time()
        call.until = call.until or now + self._settings.patience
        if now >= call.until:
            call.set_exception(Unsettled(why))
            return
        call.hops = 0
        self._wanted.set()
        self._loop.call_later(FIRST, self.send, call)

    # --- the map ----------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Renew the map when something points to a change, many signs at once, until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wanted.wait()
            except TimeoutError:
                log.debug("looking at the map of the cluster, just in case")
            self._wanted.clear()
            try:
                self._adopt(await self._discover())
                self._why = ""
            except (BrokerError, ConfigError) as error:
                if str(error) != self._why:
                    self._why = str(error)
                    log.warning("the Redis cluster at %s: %s", self._settings.place, error)
            except Exception:
                self._why = "a mistake of ours"
                log.exception("reading the map of the Redis cluster at %s went wrong", self._settings.place)
            if not self._why and all(link.is_up for link in self._links.values()):
                backoff.reset()
            else:
                self._wanted.set()
            await asyncio.sleep(backoff.pause())

    async def _discover(self) -> list[Range]:
        """Ask one node after the other: first those that we are connected to, then the ones in the URL."""
        up = [address for address, link in self._links.items() if link.is_up]
        failures: dict[str, BrokerUnavailable] = {}
        for address in dict.fromkeys((*up, *self._settings.nodes, *self._links)):
            try:
                return await self._ask(address)
            except BrokerUnavailable as error:
                failures[written(address)] = error
            except RedisError as error:
                if "cluster support disabled" in error.text:
                    raise BrokerError(
                        f"Redis at {written(address)} is no cluster: write redis:// instead of redis+cluster://"
                    ) from error
                raise
        raise BrokerUnavailable("; ".join(f"{name}: {error}" for name, error in failures.items()))

    async def _ask(self, address: tuple[str, int]) -> list[Range]:
        link = self._links.get(address)
        if link is not None and link.is_up:
            answer = await link.call("CLUSTER", "SLOTS")
        else:
            wire = await dial(self._settings, address)
            try:
                answer = await wire.call("CLUSTER", "SLOTS")
            finally:
                await hang_up(wire)
        found = list(ranges(answer, address))
        if not found:
            raise BrokerUnavailable("it knows no master of any slot (yet)")
        return found

    def _adopt(self, found: list[Range]) -> None:
        slots: list[Link | None] = [None] * SLOTS
        for first, last, address in found:
            slots[first : last + 1] = [self._link(address)] * (last + 1 - first)
        self._slots = slots
        masters = {address for _, _, address in found}
        for address in set(self._links) - masters:
            self._dismiss(address)
        if masters != self._known:
            self._known = masters
            for tell in self._listeners:
                tell()

    def _link(self, address: tuple[str, int]) -> Link:
        """The link to a node; a new one begins to connect."""
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = Link(
                self._settings,
                partial(_here, address),
                where=written(address),
                on_error=partial(self._on_error, address),
                on_down=self._wanted.set,
            )
            self._addresses[link] = address
            link.start()
        return link

    def _dismiss(self, address: tuple[str, int]) -> None:
        """A node is no master any more: it may still answer, and what was not sent finds its new place."""
        link = self._links.pop(address)
        self._redirect(link.retire())
        task = self._loop.create_task(self._see_off(link))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _redirect(self, unsent: list[Unsent]) -> None:
        for _, answer in unsent:
            if isinstance(answer, Call):
                self.send(answer)
            elif not answer.done():
                answer.set_exception(BrokerUnavailable("this node has left the Redis cluster: try again"))

    async def _see_off(self, link: Link) -> None:
        try:
            await link.drained()
        finally:
            await link.close()
            del self._addresses[link]


async def _here(address: tuple[str, int]) -> Address:
    return address
