"""Schedule entries that change while a scheduler runs: reads them from a source at intervals.

Go calls it the periodic task manager.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from asynqio.blocking import run_blocking
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.errors import AsynqioError, ConfigError
from asynqio.runtime.scheduling.plan import Plan
from asynqio.runtime.scheduling.ticker import Ticker
from asynqio.runtime.service import Service

log = logging.getLogger("asynqio.scheduler")

#: Returns the current entries. A plain function is called in a thread.
Source = Callable[[], Iterable[ScheduleEntry] | Awaitable[Iterable[ScheduleEntry]]]


class SourceReader(Service):
    """The first read must succeed. After that, a failed read leaves all entries unchanged."""

    name = "schedule source"

    def __init__(self, source: Source, ticker: Ticker, every: float) -> None:
        self._source = source
        self._ticker = ticker
        self._every = every
        self._served: dict[str, ScheduleEntry] = {}
        self._refused: set[tuple[object, ...]] = set()
        self._is_read = False

    async def open(self) -> None:
        await self._sync()
        self._is_read = True

    async def once(self) -> float:
        if not self._is_read:
            try:
                await self._sync()
            except Exception as error:
                log.error(
                    "the source of schedules failed; all entries stay unchanged: %s",
                    error,
                    exc_info=error,
                    extra={"event": "schedule_source_failed", "error": str(error)},
                )
        self._is_read = False
        return self._every

    async def _sync(self) -> None:
        """Read the source and serve its entries. Raises what the source raises, ConfigError, BrokerError."""
        entries = await self._read()
        plans: dict[str, Plan] = {}
        refused: list[tuple[ScheduleEntry, str]] = []
        for entry, plan in zip(entries, await self._ticker.plan(entries), strict=True):
            if isinstance(plan, AsynqioError):
                refused.append((entry, str(plan)))
            elif self._is_free(plan, plans):
                plans[plan.id] = plan
            else:
                refused.append((entry, f"there is another schedule with the id {plan.id!r}"))
        for entry, problem in refused:
            if _key(entry, problem) not in self._refused:
                log.error(
                    "the source's entry %r is not served: %s",
                    entry,
                    problem,
                    extra={
                        "event": "schedule_refused",
                        "spec": entry.spec,
                        "task_type": entry.task.type,
                        "error": problem,
                    },
                )
        self._refused = {_key(entry, problem) for entry, problem in refused}
        new = [plan for plan in plans.values() if self._served.get(plan.id) != plan.entry]
        if new:
            await self._ticker.serve(new)
        if gone := self._served.keys() - plans.keys():
            await self._ticker.remove(gone)
        self._served = {id: plan.entry for id, plan in plans.items()}

    def _is_free(self, plan: Plan, plans: dict[str, Plan]) -> bool:
        if plan.id in plans:
            return False
        return plan.id in self._served or not self._ticker.serves(plan.id)

    async def _read(self) -> list[ScheduleEntry]:
        if inspect.iscoroutinefunction(self._source):
            answer: Any = await self._source()
        else:
            answer = await run_blocking(self._source)
            if inspect.isawaitable(answer):
                answer = await answer
        entries = list(answer)
        if wrong := [item for item in entries if not isinstance(item, ScheduleEntry)]:
            raise ConfigError(
                [f"the source of schedules returned {wrong[0]!r}, which is not a ScheduleEntry"]
            )
        return entries


def _key(entry: ScheduleEntry, problem: str) -> tuple[object, ...]:
    """Identifies a refused entry, so that it is logged once."""
    return entry.spec, entry.zone, entry.name, entry.task.type, entry.task.payload, problem
