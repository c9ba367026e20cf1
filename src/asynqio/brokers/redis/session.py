"""What all operations of a Redis broker share: connection, clock, lease tokens, script calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from asynqio.blocking import run_blocking
from asynqio.brokers.redis.background import Background
from asynqio.brokers.redis.call_slots import CallSlot, CallSlots
from asynqio.brokers.redis.chunking import all_of
from asynqio.brokers.redis.connection.client import RedisClient
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.connection.errors import RedisError, ReplyLost
from asynqio.brokers.redis.layout.keys import QueueKeys, day_of, queue_keys
from asynqio.brokers.redis.queue_registry import QueueRegistry
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.server_clock import ServerClock
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.clock import Clock
from asynqio.errors import BrokerError, BrokerUnavailable, InvalidName

log = logging.getLogger("asynqio.redis")

T = TypeVar("T")

#: Seconds between two reports of the same damaged queue.
REPORT_EVERY = 30.0
#: Seconds of a round trip to a Redis on the same machine: the default until it is measured.
LOCAL_ROUND_TRIP = 0.0001
#: How many round trips to measure. The shortest counts, because other load only adds to it.
PINGS = 3


class Session:
    """One connection to Redis, as one event loop uses it."""

    def __init__(self, settings: RedisSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.redis = RedisClient(settings)
        self.registry = QueueRegistry(self.redis, clock)
        self.background = Background()
        self.call_slots = CallSlots()
        self.server_clock = ServerClock(clock, self.redis, self.background)
        #: Makes the lease tokens of this session unique.
        self.nonce = secrets.token_hex(5)
        #: Seconds of a round trip to Redis.
        self.round_trip = LOCAL_ROUND_TRIP
        self._token_number = 0
        self._reported: dict[str, float] = {}
        #: Where the sweep reads on in the names of the groups of a queue.
        self.names_read: dict[str, bytes] = {}
        #: When a queue was last skipped because its master was unreachable (monotonic time).
        self.skipped_at: dict[str, float] = {}
        #: Dequeues whose reply was lost: their queues and their token. They may have leased tasks.
        self.unconfirmed: list[tuple[list[QueueKeys], bytes]] = []

    async def open(self) -> None:
        """Connect, and load the scripts. Raises BrokerUnavailable, BrokerError, VersionMismatch.

        A call of a script that the server does not know is sent again with its text, and so arrives after calls that
        were sent later: chunks of a large batch would be stored in the wrong order. So load the scripts first.
        """
        await run_blocking(LUA.read)
        await self.redis.open()
        try:
            self.round_trip = min([await self._ping() for _ in range(PINGS)])
            await self._load_scripts()
        except BaseException:
            await self.redis.close()
            raise

    async def _load_scripts(self) -> None:
        scripts = list(LUA)
        try:
            for known in await self.redis.everywhere("SCRIPT", "EXISTS", *(script.sha for script in scripts)):
                for script in (script for script, loaded in zip(scripts, known, strict=True) if not loaded):
                    await self.redis.everywhere("SCRIPT", "LOAD", script.text)
        except RedisError as error:
            # An ACL may forbid SCRIPT; the first call of each script then sends its text.
            log.debug(
                "scripts are loaded by their first call: %s",
                error,
                extra={"event": "scripts_not_loaded", "error": str(error)},
            )

    async def _ping(self) -> float:
        """Measure one round trip, in seconds."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        with contextlib.suppress(RedisError):  # an ACL may forbid PING; the error takes one round trip too
            await self.redis.command(None, "PING")
        return loop.time() - started

    def token(self, owner: str) -> str:
        """A new fencing token for one dequeue: `<owner>/<number>@<time>`."""
        self._token_number += 1
        return f"{owner}/{self.nonce}{self._token_number:x}@{int(self.clock.now())}"

    # --- time -------------------------------------------------------------------------------------

    def now_ns(self) -> str:
        """Nanoseconds since the epoch, with a precision of one microsecond."""
        return str(round(self.clock.now() * 1e6) * 1_000)

    @property
    def archive_limit(self) -> int:
        """How many tasks an archive keeps."""
        return self.settings.archive_limit

    def archive_cutoff(self) -> int:
        """Tasks archived at or before this time (seconds) are evicted."""
        return math.floor(self.clock.now() - self.settings.archive_age)

    def today(self) -> str:
        """Today (UTC) as in the keys of daily counters."""
        return day_of(int(self.clock.now() // 86_400))

    # --- script calls -----------------------------------------------------------------------------

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run a script. Raises ReplyLost if it may or may not have run."""
        return await self.redis.run(script, keys, args)

    async def run_idempotent(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run a script that may run twice: send it again if the reply is lost."""
        try:
            return await self.redis.run(script, keys, args)
        except ReplyLost:
            return await self.redis.run(script, keys, args)

    def run_once(
        self,
        script: Script,
        keys: Sequence[str],
        args: list[Arg],
        *,
        resent: bool = False,
        at_once: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        """Run a script that recognises its own effect: its first argument says that the call is sent again.

        The call has been sent when this returns. Awaiting it raises ReplyLost if the second reply is lost too.
        `resent`: an earlier call with these arguments ended that way. `at_once`: see `RedisClient.run`.
        """
        sent = self.redis.run(script, keys, ["1" if resent else "0", *args], at_once=at_once)
        return self._run_once(script, keys, args, sent)

    async def _run_once(
        self, script: Script, keys: Sequence[str], args: list[Arg], sent: Awaitable[Any]
    ) -> Any:
        try:
            return await sent
        except ReplyLost as lost:
            return await self._run_again(lost, script, keys, ["1", *args])

    def run_remembered(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Arg],
        slot: CallSlot,
        *,
        at_once: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        """Run a script that remembers its calls (`call_slots.py`): its first key is that of the slot, its first
        argument the number of the call. Like `run_once`, but the effect of the call may be gone when it is sent
        again. The slot is released afterwards.
        """
        return self._run_remembered(
            script, keys, args, slot, self.redis.run(script, keys, args, at_once=at_once)
        )

    async def _run_remembered(
        self, script: Script, keys: Sequence[str], args: Sequence[Arg], slot: CallSlot, sent: Awaitable[Any]
    ) -> Any:
        try:
            return await sent
        except ReplyLost as lost:
            return await self._run_again(lost, script, keys, args)
        finally:
            slot.release()

    async def _run_again(
        self, lost: ReplyLost, script: Script, keys: Sequence[str], args: Sequence[Arg]
    ) -> Any:
        try:
            return await self.redis.run(script, keys, args)
        except BrokerUnavailable as error:
            raise lost from error  # the first call was sent, whatever happened to the second

    # --- queues -----------------------------------------------------------------------------------

    def keys(self, queue: str) -> QueueKeys:
        """See `checked_keys`."""
        return checked_keys(self.settings, queue)

    def by_slot(self, queues: Iterable[str]) -> list[list[QueueKeys]]:
        """The queues in groups that one script call may access: all together, or in a cluster one by one."""
        keys = [self.keys(name) for name in dict.fromkeys(queues)]
        if not keys:
            return []
        return [[queue] for queue in keys] if self.redis.clustered else [keys]

    def reachable(self, slots: list[list[QueueKeys]]) -> list[list[QueueKeys]]:
        """Those whose master is not known to be down; all of them if all are down, to wait for a reconnect."""
        return [queues for queues in slots if not self.redis.is_away(queues[0].pending)] or slots

    async def for_each_slot(
        self, queues: Iterable[str], call: Callable[[list[QueueKeys]], Awaitable[T]], default: T
    ) -> list[tuple[list[QueueKeys], T]]:
        """`await call(queues)` for every slot, one after the other.

        If that fails because of the data of one queue (a key of the wrong type), call each queue separately, so that
        the others are served. Queues whose master is down are skipped; watches are notified when it is back.
        """
        answers: list[tuple[list[QueueKeys], T]] = []
        for some in self.reachable(self.by_slot(queues)):
            answers += await self._for_slot(some, call, default)
        return answers

    async def for_all_slots(
        self, queues: Iterable[str], call: Callable[[list[QueueKeys]], Awaitable[T]], default: T
    ) -> list[tuple[list[QueueKeys], T]]:
        """The same for all slots at once: one round trip, whatever the number of queues and nodes."""
        slots = self.reachable(self.by_slot(queues))
        if len(slots) == 1:
            return await self._for_slot(slots[0], call, default)
        calls = (self._for_slot(some, call, default) for some in slots)
        return [answer for answers in await all_of(calls) for answer in answers]

    async def _for_slot(
        self, some: list[QueueKeys], call: Callable[[list[QueueKeys]], Awaitable[T]], default: T
    ) -> list[tuple[list[QueueKeys], T]]:
        try:
            return [(some, await call(some))]
        except RedisError as error:
            if len(some) == 1:
                self.report_damage(some[0].name, error)
                return [(some, default)]
        return [answer for queue in some for answer in await self._for_slot([queue], call, default)]

    async def with_key(self, queues: Sequence[QueueKeys], key: Callable[[QueueKeys], str]) -> list[QueueKeys]:
        """Those queues for which this key exists: usually none, which takes one command for all outside a cluster."""
        keys = [key(queue) for queue in queues]
        if not keys or (not self.redis.clustered and not await self.redis.command(None, "EXISTS", *keys)):
            return []
        answers = await asyncio.gather(
            *(self.redis.command(name, "EXISTS", name) for name in keys), return_exceptions=True
        )
        return [queue for queue, answer in zip(queues, answers, strict=True) if answer != 0]

    def report_damage(self, queue: str, error: BrokerError) -> None:
        """Log that a queue is skipped, at most once per `REPORT_EVERY` seconds."""
        now = self.clock.monotonic()
        if now - self._reported.get(queue, -REPORT_EVERY) >= REPORT_EVERY:
            self._reported[queue] = now
            log.error(
                "queue %r is damaged and skipped: %s",
                queue,
                error,
                extra={"event": "queue_skipped", "queue": queue, "error": str(error)},
            )


def can_keep(settings: RedisSettings, queue: str) -> bool:
    """Whether the store can keep the keys of a queue: a cluster, in one slot."""
    return not (settings.kind == "cluster" and queue.startswith("}"))


def checked_keys(settings: RedisSettings, queue: str) -> QueueKeys:
    """The keys of a queue. Raises InvalidName if the store cannot keep them."""
    if not can_keep(settings, queue):
        raise InvalidName("queue", queue, "cannot begin with '}' on a Redis cluster: choose another name")
    return queue_keys(queue)
