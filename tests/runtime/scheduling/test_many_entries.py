"""Thousands of entries: the work grows with their number, not with its square, and leaves the event loop free."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Any

import pytest

from asynqio import App, ScheduleEntry, Scheduler, Task
from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.runtime.scheduling.hooks import Hooks
from asynqio.runtime.scheduling.plan import Plan, Terms
from asynqio.runtime.scheduling.queues import PART
from asynqio.runtime.scheduling.source import SourceReader
from asynqio.runtime.scheduling.ticker import CHANGE_INTERVAL, PUBLISHED_AT_ONCE, Ticker
from asynqio.testing import FakeClock, Flaky
from tests.runtime.scheduling.ticking import HOUR, count, every, ticker, to

FEW, MANY = 150, 600


def unnamed(number: int) -> ScheduleEntry:
    return ScheduleEntry("@every 1m", Task("tick", b"%d" % number))


def entries(number: int) -> list[ScheduleEntry]:
    return [unnamed(one) for one in range(number)]


async def calls(work: Awaitable[object]) -> int:
    """The number of Python functions that the event loop calls while it does the work."""
    found = 0

    def on_event(frame: FrameType, event: str, argument: object) -> None:
        nonlocal found
        found += event == "call"

    sys.setprofile(on_event)
    try:
        await work
    finally:
        sys.setprofile(None)
    return found


async def assert_linear(make: Callable[[int], Awaitable[Awaitable[object]]]) -> None:
    few, many = [await calls(await make(size)) for size in (FEW, MANY)]
    assert many <= 1.5 * few * MANY / FEW, (few, many)


# --- linear ---------------------------------------------------------------------------------------


async def test_registering_before_the_start_is_linear() -> None:
    async def make(size: int) -> Awaitable[object]:
        scheduler = Scheduler("memory://", entries=entries(size))

        async def work() -> None:
            for number in range(size, 2 * size):
                await scheduler.register("@every 1m", Task("tick", b"%d" % number))

        return work()

    await assert_linear(make)


async def test_registering_while_it_runs_is_linear(clock: FakeClock) -> None:
    async def make(size: int) -> Awaitable[object]:
        scheduler = Scheduler(open_broker("memory://", clock=clock))
        await scheduler.start()

        async def work() -> None:
            for number in range(size):
                await scheduler.register("@every 1m", Task("tick", b"%d" % number))
            await scheduler.stop()

        return work()

    await assert_linear(make)


async def test_the_start_is_linear() -> None:
    async def make(size: int) -> Awaitable[object]:
        scheduler = Scheduler("memory://", entries=entries(size))

        async def work() -> None:
            async with scheduler:
                pass

        return work()

    await assert_linear(make)


async def test_reading_a_source_is_linear(clock: FakeClock) -> None:
    async def make(size: int) -> Awaitable[object]:
        refused = [ScheduleEntry("61 * * * *", Task("tick", b"%d" % number)) for number in range(size)]
        given = [*entries(size), *entries(size), *refused]
        made = Ticker(open_broker("memory://", clock=clock), Terms(), Hooks())
        reader = SourceReader(lambda: given, made, 1.0)

        async def work() -> None:
            await reader.open()
            await reader.once()
            await reader.once()

        return work()

    await assert_linear(make)


async def test_firing_late_ticks_is_linear(clock: FakeClock) -> None:
    async def make(size: int) -> Awaitable[object]:
        made = await ticker(open_broker("memory://", clock=clock), *entries(size))
        clock.advance(600)
        return made.once()

    await assert_linear(make)


def test_declaring_entries_of_an_app_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = 0
    digest: Any = ScheduleEntry.id

    def counted(entry: ScheduleEntry) -> str:
        nonlocal computed
        computed += 1
        return str(digest.fget(entry))

    monkeypatch.setattr(ScheduleEntry, "id", property(counted))
    app = App("memory://")

    @app.task
    async def tick(number: int) -> None: ...

    for number in range(FEW):
        app.cron("@every 1m", args=(number,))(tick)
    assert computed <= 2 * FEW


# --- the event loop stays free --------------------------------------------------------------------


async def turns(work: Awaitable[object]) -> int:
    """The number of turns of the event loop during the work."""
    found = 0
    done = asyncio.ensure_future(work)
    while not done.done():
        found += 1
        await asyncio.sleep(0)
    await done
    return found


async def test_the_start_and_the_firing_of_many_entries_leave_the_loop_free(clock: FakeClock) -> None:
    many = 4 * PART
    flaky = Flaky(open_broker("memory://", clock=clock))
    made = Ticker(flaky.broker, Terms(), Hooks())
    plans = [plan for plan in await made.plan(entries(many)) if isinstance(plan, Plan)]
    largest: list[int] = []
    monitored = flaky.broker.register_schedules

    async def register(queue: str, ids: Sequence[str]) -> Any:
        largest.append(len(ids))
        return await monitored(queue, ids)

    flaky.broker.register_schedules = register  # type: ignore[method-assign]
    assert await turns(made.serve(plans)) >= many / PART
    assert max(largest) == PART
    flaky.calls.clear()
    clock.advance(60)
    assert await turns(made.once()) >= many / PART
    assert flaky.calls["fire"] == many / PART
    assert await count(flaky.broker) == many


# --- publication ----------------------------------------------------------------------------------


async def test_entries_registered_one_by_one_are_published_together(clock: FakeClock) -> None:
    flaky = Flaky(open_broker("memory://", clock=clock))
    made = await ticker(flaky.broker, every(name="first"), *entries(PUBLISHED_AT_ONCE))
    flaky.calls.clear()
    for number in range(PUBLISHED_AT_ONCE, FEW):
        await made.serve([plan for plan in await made.plan([unnamed(number)]) if isinstance(plan, Plan)])
    assert flaky.calls.get("beat", 0) == 0, "the last publication is recent"
    clock.advance(CHANGE_INTERVAL)
    await made.once()
    assert flaky.calls["beat"] == 1
    [info] = await flaky.broker.schedulers()
    assert len(info.entries) == FEW + 1
    # Later, a change is published at once.
    clock.advance(CHANGE_INTERVAL)
    await made.remove(["first"])
    assert flaky.calls["beat"] == 2


async def test_a_change_soon_after_a_publication_wakes_the_loop_for_the_next_one(
    memory: Store, clock: FakeClock
) -> None:
    made = await ticker(memory, every("@every 1h"), *(every("@every 1h", name=f"{n}") for n in range(200)))
    await made.once()
    clock.advance(0.4)
    await made.serve(
        [plan for plan in await made.plan([every("@every 1h", name="y")]) if isinstance(plan, Plan)]
    )
    assert await made.once() == pytest.approx(CHANGE_INTERVAL - 0.4 + 0.001)


async def test_an_unchanged_entry_is_described_once(memory: Store, clock: FakeClock) -> None:
    made = await ticker(memory, every("@every 1m", name="x"), every("@every 1h", name="y"))
    before = made.info().entries
    await to(clock, 60, made)
    after = made.info().entries
    assert after[1] is before[1]
    assert (before[0].prev_at, after[0].prev_at) == (None, HOUR + 60)
