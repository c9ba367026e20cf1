"""Tickers that a test runs by hand."""

from __future__ import annotations

from typing import Any

from asynqio import ScheduleEntry, Task
from asynqio.brokers.contract.broker import Store
from asynqio.core.schedules.misfire import Missed
from asynqio.runtime.scheduling.hooks import Hooks
from asynqio.runtime.scheduling.plan import Plan, Terms
from asynqio.runtime.scheduling.ticker import Ticker
from asynqio.testing import FakeClock
from asynqio.testing.clock import START

#: A full hour, and where the clock of these tests starts: a bit behind it.
HOUR = START - START % 3600
YEAR = 365 * 86_400.0


async def ticker(broker: Store, *entries: ScheduleEntry, hooks: Hooks | None = None) -> Ticker:
    made = Ticker(broker, Terms(), hooks or Hooks())
    plans = []
    for plan in await made.plan(entries):
        assert isinstance(plan, Plan), plan
        plans.append(plan)
    await made.serve(plans)
    await made.open()
    return made


def every(spec: str = "@every 1m", missed: Missed = "once", name: str = "x", **options: Any) -> ScheduleEntry:
    return ScheduleEntry(spec, Task("tick"), name=name, missed=missed, **options)


async def count(broker: Store, queue: str = "default") -> int:
    """The number of tasks."""
    return (await broker.stats([queue]))[0].size


async def to(clock: FakeClock, seconds: float, *schedulers: Ticker) -> None:
    """Move the clock to `seconds` after the full hour, and run every scheduler once."""
    clock.advance(HOUR + seconds - clock.now())
    for one in schedulers:
        await one.once()
