"""Time, handed in."""

from __future__ import annotations

import pytest

from asynqio.clock import Clock, ClockStep, SystemClock
from asynqio.testing import FakeClock


def test_a_fake_clock_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(1000.0)
    assert (clock.now(), clock.monotonic()) == (1000.0, 0.0)
    clock.advance(2.5)
    clock.advance(0)
    assert (clock.now(), clock.monotonic()) == (1002.5, 2.5)


def test_a_fake_clock_can_be_set_like_one_on_the_wall() -> None:
    clock = FakeClock(1000.0)
    clock.jump(-600)
    assert (clock.now(), clock.monotonic()) == (400.0, 0.0)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_time_does_not_run_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="jump"):
        FakeClock().advance(seconds)


def test_both_clocks_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), FakeClock()]
    for clock in clocks:
        assert clock.now() <= clock.now()
        assert clock.monotonic() <= clock.monotonic()


@pytest.mark.parametrize(
    ("jump", "noticed"), [(0.0, False), (0.9, False), (-0.9, False), (1.1, True), (-3600, True)]
)
def test_a_step_of_the_wall_clock_is_noticed_once(jump: float, noticed: bool) -> None:
    clock = FakeClock()
    step = ClockStep(clock)
    clock.advance(500)
    clock.jump(jump)
    assert [step.jumped(), step.jumped()] == [noticed, False]


def test_time_that_passes_is_no_step() -> None:
    clock = FakeClock()
    step = ClockStep(clock)
    for seconds in (0.1, 10, 86_400):
        clock.advance(seconds)
        assert not step.jumped()
