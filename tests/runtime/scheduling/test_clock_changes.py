"""Schedules when the clock is set: no tick is fired twice, none in a burst."""

from __future__ import annotations

import math

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.testing import FakeClock
from tests.runtime.scheduling.ticking import HOUR, YEAR, count, every, ticker, to


async def test_a_clock_set_back_enqueues_no_second_task(broker: Store, clock: FakeClock) -> None:
    one = await ticker(broker, every())
    await to(clock, 60, one)
    await to(clock, 120, one)
    clock.jump(-90)  # it is 30 s past the hour again
    for _ in range(120):
        clock.advance(1)
        await one.once()
    late = await ticker(broker, every())
    await late.once()
    assert await count(broker) == 2, "those ticks have had their tasks"
    await to(clock, 180, one, late)
    assert await count(broker) == 3, "and what follows is fired as ever"


async def test_a_clock_set_forward_causes_no_burst(broker: Store, clock: FakeClock) -> None:
    one = await ticker(
        broker, every("@every 1s", "once"), every("@every 1s", "skip", "y"), every("@every 1s", 5, "z")
    )
    clock.jump(YEAR)
    await one.once()
    assert await count(broker) == (1 + 0 + 5) + 3, "what the policies say, and the newest tick"
    await one.once()
    assert await count(broker) == 9
    clock.advance(1)
    await one.once()
    assert await count(broker) == 12


async def test_a_clock_that_jumps_back_and_forth_fires_each_tick_once(
    broker: Store, clock: FakeClock
) -> None:
    two = [await ticker(broker, every("@every 10s", 1000)) for _ in range(2)]
    fired: set[float] = set()
    for jump in (3600.0, -3000.0, 120.0, -700.0, 5000.0, -4020.0):
        clock.jump(jump)
        for _ in range(30):
            clock.advance(1)
            for one in two:
                await one.once()
            last = (await broker.schedule_states("default"))["x"].last
            assert last is not None
            fired.add(last)
    highest = max(fired)
    assert await count(broker) <= (highest - HOUR) // 10, "no tick twice"


async def test_a_schedule_ahead_of_the_clock_is_reported_and_can_be_reset(
    memory: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    one = await ticker(memory, every())
    clock.jump(YEAR)
    await one.once()
    before = await count(memory)
    clock.jump(-YEAR)
    clock.advance(60)
    await one.once()
    assert "in the future" in caplog.text
    clock.advance(60)
    await one.once()
    assert await count(memory) == before, "it could be fired twice"
    await memory.prune_schedules("default", ["x"], math.inf)
    for _ in range(3):
        clock.advance(60)
        await one.once()
    assert await count(memory) > before


async def test_a_schedule_without_future_ticks_continues_when_the_clock_is_corrected(
    memory: Store, clock: FakeClock
) -> None:
    one = await ticker(memory, every("@every 1h", "skip"))
    clock.jump(YEAR + 1800)
    await one.once()
    assert await count(memory) == 0
    clock.jump(-YEAR - 1800)
    clock.advance(10)
    await one.once()
    await to(clock, 3600, one)
    assert await count(memory) == 1
