"""Scheduler: enqueues tasks on a schedule. Its loop is runtime/scheduling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from random import Random
from typing import Self, Unpack

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.broker import Store
from asynqio.config import store_of
from asynqio.core.info import SchedulerInfo
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.schedules.misfire import GRACE, MAX_GRACE, Missed
from asynqio.core.task.options import TaskOptions, check_declared, merge
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Task
from asynqio.errors import AsynqioError, ConfigError, EntryNotFound, ServerStateError
from asynqio.runtime.scheduling.hooks import Hooks, PostEnqueue, PreEnqueue
from asynqio.runtime.scheduling.plan import Plan, Terms
from asynqio.runtime.scheduling.source import Source, SourceReader
from asynqio.runtime.scheduling.ticker import Ticker
from asynqio.runtime.service import Loop, complete
from asynqio.runtime.stop_signals import handle_signals

log = logging.getLogger("asynqio.scheduler")

#: Seconds between two calls of a source of entries (Go's default).
SYNC_EVERY = 180.0


class Scheduler:
    """Enqueues tasks at the ticks of cron specs.

        async with Scheduler("redis://localhost:6379") as scheduler:
            await scheduler.register("*/5 * * * *", Task.json("report", {"kind": "sales"}), queue="low")

    Any number of schedulers can serve the same entries, on any number of machines: the store fires each tick
    once. `source` returns the present entries and is called every `sync_every` seconds. A tick that is at most
    `grace` seconds late is on time. `pre_enqueue(task, options)` is called before a task is enqueued,
    `post_enqueue(id, task or error)` afterwards; both may be async. Other options are defaults for all tasks.
    Raises ConfigError, InvalidOption.
    """

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        entries: Iterable[ScheduleEntry] = (),
        source: Source | None = None,
        sync_every: float = SYNC_EVERY,
        zone: str = "UTC",
        grace: float = GRACE,
        pre_enqueue: PreEnqueue | None = None,
        post_enqueue: PostEnqueue | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        random: Random | None = None,
        **defaults: Unpack[TaskOptions],
    ) -> None:
        check_declared(defaults, "Scheduler")
        self.broker, self._owned = store_of(broker)
        #: The entries given here, until their ids are needed: then the valid ones are in `_entries`.
        self._given = list(entries)
        self._refused: list[ScheduleEntry] = []
        self._entries: dict[str, ScheduleEntry] = {}
        self._source = source
        self._sync_every = _seconds("sync_every", sync_every, 0.1, math.inf)
        self._terms = Terms(zone, _seconds("grace", grace, 1, MAX_GRACE), max_payload, merge(defaults))
        self._hooks = Hooks(pre_enqueue, post_enqueue)
        self._random = random or Random()
        self._ticker: Ticker | None = None
        self._loops: list[Loop] = []
        self._stack = AsyncExitStack()
        self._closed = False
        self._ending: asyncio.Task[None] | None = None

    # --- entries ----------------------------------------------------------------------------------

    async def register(
        self,
        spec: str,
        task: Task,
        *,
        name: str = "",
        zone: str = "",
        missed: Missed = "once",
        **options: Unpack[TaskOptions],
    ) -> str:
        """Add an entry (see `ScheduleEntry`), before or after the start; returns its id. Raises InvalidSchedule,
        InvalidTask, ConfigError (an entry has this id already), BrokerError."""
        entry = ScheduleEntry(spec, task, name=name, zone=zone, missed=missed, **options)
        [plan] = await (self._ticker or self._make_ticker()).plan([entry])
        if isinstance(plan, AsynqioError):
            raise plan
        if self._ticker is None:
            await self._read_given()
            if plan.id in self._entries:
                raise _twice(plan.id)
            self._entries[plan.id] = entry
        else:
            if self._ticker.serves(plan.id):
                raise _twice(plan.id)
            await self._ticker.serve([plan])
        return plan.id

    async def unregister(self, id: str) -> None:
        """Remove an entry. Raises EntryNotFound."""
        if self._ticker is not None:
            await self._ticker.remove([id])
            return
        await self._read_given()
        if self._entries.pop(id, None) is None:
            raise EntryNotFound(id)

    def info(self) -> SchedulerInfo:
        """What the scheduler serves now. Raises ServerStateError unless it runs."""
        if self._ticker is None:
            raise ServerStateError("the scheduler does not run")
        return self._ticker.info()

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises ServerStateError when it was started before, ConfigError with all entries that are wrong, what
        the source raises, BrokerError."""
        if self._ticker is not None or self._closed:
            raise ServerStateError("the scheduler was started before: make another one")
        ticker = self._ticker = self._make_ticker()
        try:
            if self._owned:
                await self._stack.enter_async_context(self.broker)
            await self._serve(ticker)
            if self._source is not None:
                await self._run(Loop(SourceReader(self._source, ticker, self._sync_every), self._random))
            await self._run(Loop(ticker, self._random))
        except BaseException:
            await self.stop()
            raise
        entries = ticker.size
        log.info(
            "scheduler started: broker %s, %d entries",
            self.broker.url,
            entries,
            extra={
                "event": "scheduler_started",
                "scheduler_id": ticker.id,
                "broker": self.broker.url,
                "count": entries,
            },
        )

    async def stop(self) -> None:
        """Fire no more. No effect unless it runs. Returns when nothing of the scheduler is left: a caller that is
        cancelled gets CancelledError then, and a second caller waits for the first."""
        if self._ticker is not None:
            id, self._ticker, self._closed = self._ticker.id, None, True
            self._ending = asyncio.create_task(self._end(id), name="asynqio end of the scheduler")
        if self._ending is not None:
            await complete(self._ending)

    async def _end(self, id: str) -> None:
        try:
            while self._loops:
                try:
                    await self._loops.pop(0).stop()
                except Exception as error:
                    log.exception(
                        "stopping the scheduler failed: %s",
                        error,
                        extra={"event": "scheduler_stop_failed", "scheduler_id": id, "error": str(error)},
                    )
        finally:
            await self._stack.aclose()
        log.info("scheduler stopped", extra={"event": "scheduler_stopped", "scheduler_id": id})

    async def run(self) -> None:
        """Start, fire until SIGTERM, SIGHUP or SIGINT, stop."""
        done = asyncio.Event()
        with handle_signals({"SIGTERM": done.set, "SIGHUP": done.set, "SIGINT": done.set}):
            async with self:
                await done.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Start, and stop at the end of the `async with` block. Signals are left alone."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _make_ticker(self) -> Ticker:
        return Ticker(self.broker, self._terms, self._hooks)

    async def _read_given(self) -> None:
        """Compute the ids of the given entries, once: each is a digest."""
        if not self._given:
            return

        def read(given: list[ScheduleEntry]) -> tuple[dict[str, ScheduleEntry], list[ScheduleEntry]]:
            found: dict[str, ScheduleEntry] = {}
            refused = []
            for entry in given:
                try:
                    id = entry.id
                except AsynqioError:
                    refused.append(entry)
                    continue
                if id in found:
                    refused.append(entry)
                else:
                    found[id] = entry
            return found, refused

        given, self._given = self._given, []
        found, refused = await run_blocking(read, given)
        self._entries = {**found, **self._entries}
        self._refused += refused

    async def _serve(self, ticker: Ticker) -> None:
        problems: list[str] = []
        plans: dict[str, Plan] = {}
        for plan in await ticker.plan([*self._entries.values(), *self._refused, *self._given]):
            if isinstance(plan, AsynqioError):
                problems.append(str(plan))
            elif plan.id in plans:
                problems.append(str(_twice(plan.id)))
            else:
                plans[plan.id] = plan
        if problems:
            raise ConfigError(problems)
        await ticker.serve(list(plans.values()))

    async def _run(self, loop: Loop) -> None:
        await loop.start()
        self._loops.append(loop)

    def __repr__(self) -> str:
        return f"Scheduler({self.broker.url!r})"


def _twice(id: str) -> ConfigError:
    return ConfigError([f"there is a schedule entry {id!r} already: give one of them another name"])


def _seconds(name: str, value: float, least: float, most: float) -> float:
    number: object = value
    if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
        limit = "" if math.isinf(most) else f" to {most:g}"
        raise ConfigError([f"{name}={value!r} must be a number of seconds from {least:g} up{limit}"])
    return float(number)
