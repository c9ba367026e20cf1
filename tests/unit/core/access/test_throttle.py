"""Throttling: growing delays with a cap, in a bounded space."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.access.throttle import Pace, Throttle

PACE = Pace(free=5, window=300, delay=5, longest=300)


def failed(times: int, throttle: Throttle | None = None, now: float = 0.0) -> Throttle:
    throttle = throttle or Throttle(PACE)
    for _ in range(times):
        throttle.fail("ann", now)
    return throttle


@pytest.mark.requirement("SEC-GW-9")
def test_five_failures_are_free_and_then_the_delay_doubles_up_to_its_cap() -> None:
    waits = [failed(times).wait("ann", 0.0) for times in range(14)]
    assert waits == [0, 0, 0, 0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert failed(10_000).wait("ann", 0.0) == 300


def test_a_delay_ends() -> None:
    throttle = failed(5)
    assert throttle.wait("ann", 4.0) == 1.0
    assert throttle.wait("ann", 5.0) == 0.0
    assert throttle.wait("bob", 0.0) == 0.0


def test_a_clock_that_is_set_back_makes_nobody_wait_longer() -> None:
    assert failed(5, now=1_000_000.0).wait("ann", 0.0) == 5.0


def test_failures_are_forgotten_after_the_window() -> None:
    throttle = failed(4)
    throttle.fail("ann", 300.0)
    assert throttle.wait("ann", 300.0) == 5.0, "the fifth within the window"
    throttle = failed(4)
    throttle.fail("ann", 301.0)
    assert throttle.wait("ann", 301.0) == 0.0
    throttle = failed(11)
    throttle.fail("ann", 600.0)
    assert throttle.wait("ann", 600.0) == 300.0, "the window starts when the delay ends"


def test_an_attempt_that_succeeds_is_not_counted() -> None:
    throttle = failed(5)
    throttle.take_back("ann")
    assert throttle.wait("ann", 0.0) == 0.0
    for _ in range(6):
        throttle.take_back("ann")
    assert len(throttle) == 0


def test_delays_are_taken_over_by_another_throttle() -> None:
    throttle = failed(6)
    for _ in range(4):
        throttle.fail("bob", 0.0)
    assert throttle.delays(4.0) == {"ann": (6, 4.0)}
    assert throttle.delays(311.0) == {}, "forgotten"
    other = Throttle(PACE, entries=2)
    other.restore("ann", 6, 4.0, now=1_000.0)
    assert other.wait("ann", 1_000.0) == 6.0
    other.restore("ann", 5, 0.0, now=1_000.0)
    assert other.wait("ann", 1_000.0) == 6.0, "it has more already"
    other.restore("bob", 5, 0.0, now=1_000.0)
    other.restore("cleo", 5, 0.0, now=1_000.0)
    assert len(other) == 2


@given(st.lists(st.integers(0, 30), max_size=200))
def test_the_space_is_bounded_and_the_latest_failures_are_kept(keys: list[int]) -> None:
    throttle = Throttle(Pace(free=1, delay=1_000), entries=7)
    for now, key in enumerate(keys):
        throttle.fail(str(key), now)
        latest = list(dict.fromkeys(reversed(keys[: now + 1])))
        assert len(throttle) == min(len(latest), 7)
        assert all(throttle.wait(str(other), now) > 0 for other in latest[:7])
        assert all(throttle.wait(str(other), now) == 0 for other in latest[7:])
