"""What all parts of a Redis broker work with: the connection, the clock, and how calls that may be lost are made
certain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from asynqio.brokers.redis.connection.client import Redis
from asynqio.brokers.redis.connection.reconnecting import RedisError, ReplyLost
from asynqio.brokers.redis.layout.keys import QUEUES, QueueKeys, day_of, queue_keys
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.clock import Clock
from asynqio.errors import BrokerError, BrokerUnavailable, InvalidName

log = logging.getLogger("asynqio.redis")

T = TypeVar("T")
Word = bytes | str | int | float

#: Seconds for which we remember that a queue is listed: if somebody removes it, it comes back this soon (B15).
LISTED_FOR = 5.0
#: Seconds between two reports of the same broken queue.
REPORT_EVERY = 30.0
#: Seconds to a Redis on the same machine and back: what is assumed until it is measured.
NEAR = 0.0001
#: How often it is measured: the least counts, for whatever else goes on only ever adds to it.
PINGS = 3


class Session:
    """One connection to Redis, as one event loop uses it."""

    def __init__(self, settings: RedisSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.redis = Redis(settings)
        #: Makes the tokens of this session differ from those of any other.
        self.nonce = secrets.token_hex(5)
        #: Seconds to Redis and back.
        self.round_trip = NEAR
        self._number = 0
        self._listed: dict[str, float] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._reported: dict[str, float] = {}
        #: When a queue was last left out because its master was away (monotonic time).
        self.missed: dict[str, float] = {}
        #: Dequeues that may have taken tasks which nobody knows: their queues and their token.
        self.strays: list[tuple[list[QueueKeys], bytes]] = []

    async def open(self) -> None:
        """Connect, and teach Redis the scripts. Raises BrokerUnavailable, BrokerError, VersionMismatch.

        A call of a script that it does not know is sent again with the text, and so later than what was sent
        after it: the pieces of a large batch would change places (T28).
        """
        await asyncio.to_thread(LUA.read)
        await self.redis.open()
        try:
            self.round_trip = min([await self._ping() for _ in range(PINGS)])
            await self._teach()
        except BaseException:
            await self.redis.close()
            raise

    async def _teach(self) -> None:
        scripts = list(LUA)
        try:
            for known in await self.redis.everywhere("SCRIPT", "EXISTS", *(script.sha for script in scripts)):
                for script in (script for script, there in zip(scripts, known, strict=True) if not there):
                    await self.redis.everywhere("SCRIPT", "LOAD", script.text)
        except RedisError as problem:
            log.debug(
                "scripts are taught one by one: %s", problem
            )  # a user who may not; calls carry the text

    async def _ping(self) -> float:
        """How long it takes."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        with contextlib.suppress(RedisError):  # a user who may not
            await self.redis.command(None, "PING")
        return loop.time() - began

    def token(self, owner: str) -> str:
        """A fresh fencing token for one dequeue: `<owner>/<number>@<when>`."""
        self._number += 1
        return f"{owner}/{self.nonce}{self._number:x}@{int(self.clock.now())}"

    # --- time -------------------------------------------------------------------------------------

    def nanoseconds(self) -> str:
        return str(round(self.clock.now() * 1e6) * 1_000)

    @property
    def archive_limit(self) -> int:
        """How many tasks an archive keeps."""
        return self.settings.archive_limit

    def archive_cutoff(self) -> int:
        """What was archived by then is not kept, in seconds."""
        return math.floor(self.clock.now() - self.settings.archive_age)

    def today(self) -> str:
        return day_of(int(self.clock.now() // 86_400))

    # --- calls ------------------------------------------------------------------------------------

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """Run a script. Raises ReplyLost when it may have run or not."""
        return await self.redis.run(script, keys, args)

    async def repeat(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """Run a script that may as well run twice."""
        try:
            return await self.redis.run(script, keys, args)
        except ReplyLost:
            return await self.redis.run(script, keys, args)

    def certain(
        self, script: Script, keys: Sequence[str], args: list[Word], *, again: bool = False
    ) -> Coroutine[Any, Any, Any]:
        """Run a script that can tell whether it ran before: its first argument says that it is sent again (T14).

        It is under way when this returns. Raises ReplyLost when even then nobody can tell; `again`: that is how an
        earlier call ended.
        """
        sent = self.redis.run(script, keys, ["1" if again else "0", *args])
        return self._certain(script, keys, args, sent)

    async def _certain(
        self, script: Script, keys: Sequence[str], args: list[Word], sent: Awaitable[Any]
    ) -> Any:
        try:
            return await sent
        except ReplyLost as lost:
            try:
                return await self.redis.run(script, keys, ["1", *args])
            except BrokerUnavailable as error:
                raise lost from error  # it was sent, whatever became of the second try

    def keys(self, queue: str) -> QueueKeys:
        """The keys of a queue. Raises InvalidName for one that cannot live in a cluster (spec 1.5)."""
        if self.redis.clustered and queue.startswith("}"):
            raise InvalidName("queue", queue, "cannot begin with '}' on a Redis cluster: choose another name")
        return queue_keys(queue)

    def by_slot(self, queues: Iterable[str]) -> list[list[QueueKeys]]:
        """The queues that one script call may touch together: all, or in a cluster each by itself."""
        keys = [self.keys(name) for name in dict.fromkeys(queues)]
        if not keys:
            return []
        return [[one] for one in keys] if self.redis.clustered else [keys]

    def there(self, slots: list[list[QueueKeys]]) -> list[list[QueueKeys]]:
        """Those whose master is not known to be away; all, when they all are: then one waits for them."""
        return [some for some in slots if not self.redis.is_away(some[0].pending)] or slots

    async def each(
        self, queues: Iterable[str], call: Callable[[list[QueueKeys]], Awaitable[T]], default: T
    ) -> list[tuple[list[QueueKeys], T]]:
        """`await call(queues)` for every slot; if that fails because of what is stored in one queue (a key of a wrong
        type), for each queue by itself, so that its neighbours do not suffer. Nor do they when its master is away:
        it is left out, and whoever watches is woken when it is back."""
        answers: list[tuple[list[QueueKeys], T]] = []
        for some in self.there(self.by_slot(queues)):
            try:
                answers.append((some, await call(some)))
            except RedisError as error:
                if len(some) == 1:
                    self.report(some[0].name, error)
                    answers.append((some, default))
                    continue
                for one in some:
                    answers += await self.each([one.name], call, default)
        return answers

    def report(self, queue: str, error: BrokerError) -> None:
        """A queue cannot be worked on; say so now and then."""
        now = self.clock.monotonic()
        if now - self._reported.get(queue, -REPORT_EVERY) >= REPORT_EVERY:
            self._reported[queue] = now
            log.error("queue %r is damaged and skipped: %s", queue, error)

    async def listed(self, queues: Iterable[str]) -> None:
        """See to it that inspectors find these queues (T15)."""
        if (listing := self.listing(queues)) is not None:
            await listing

    def listing(self, queues: Iterable[str]) -> asyncio.Task[None] | None:
        """The same; it is under way when this returns, and so before anything that is sent later. None: they are."""
        now = self.clock.monotonic()
        new = [name for name in queues if now - self._listed.get(name, -LISTED_FOR) >= LISTED_FOR]
        if not new:
            return None
        for name in new:
            self._listed[name] = now
        sent = self.redis.command(QUEUES, "SADD", QUEUES, *new)
        listing = asyncio.create_task(self._list(new, sent))
        # Should it fail together with what it belongs to, nobody will ask why.
        listing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return listing

    async def _list(self, queues: list[str], sent: Awaitable[Any]) -> None:
        try:
            try:
                await sent
            except ReplyLost:
                await self.redis.command(QUEUES, "SADD", QUEUES, *queues)
        except BaseException:
            for name in queues:
                self.unlist(name)
            raise

    def unlist(self, queue: str) -> None:
        self._listed.pop(queue, None)

    async def exists(self, queue: str) -> bool:
        return bool(await self.redis.command(QUEUES, "SISMEMBER", QUEUES, queue))

    # --- in the background ------------------------------------------------------------------------

    async def finish(self, work: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[object]]) -> T:
        """`await work`; if the caller is cancelled meanwhile, its answer is undone before the caller goes on."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.shield(self.spawn(self._undo(task, undo)))
            raise

    async def _undo(self, task: asyncio.Future[T], undo: Callable[[T], Awaitable[object]]) -> None:
        try:
            answer = await task
            await undo(answer)
        except BrokerUnavailable as error:
            log.warning("what a cancelled call took could not be given back, its lease will lapse: %s", error)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Let this go on by itself; `settled` waits for it."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("something in the background failed: %s", error, exc_info=error)

    async def settled(self) -> None:
        """Until nothing goes on in the background."""
        while self._background:
            await asyncio.gather(*self._background, return_exceptions=True)
