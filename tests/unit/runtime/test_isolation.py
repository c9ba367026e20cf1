"""Suspects: which tasks may be poison, and how long one has the server to itself."""

from __future__ import annotations

from random import Random
from typing import cast

import msgspec
import pytest

from asynqio.core.lifecycle import Lease
from asynqio.runtime.attempts.attempt import Attempt, Environment
from asynqio.runtime.isolation import SUSPECT_ALONE, SUSPECT_DELAY, SUSPECT_TURN, Isolation
from asynqio.testing import FakeClock
from tests.builders import entry

MESSAGE = entry().message


def started(clock: FakeClock) -> Attempt:
    return Attempt(cast("Environment", None), Lease(MESSAGE, 0.0), clock.now())


@pytest.mark.parametrize(
    ("crashes", "max_crashes", "suspect"),
    [(0, 1, False), (0, 3, False), (1, 3, False), (2, 3, True), (5, 3, True), (1, 1, True)],
)
def test_a_task_is_suspect_if_its_next_crash_would_archive_it(
    crashes: int, max_crashes: int, suspect: bool
) -> None:
    message = msgspec.structs.replace(MESSAGE, crashes=crashes)
    assert Isolation(FakeClock(), Random(0), max_crashes).suspects(message) is suspect


def test_a_suspect_has_the_server_to_itself_and_then_a_turn_without_other_suspects() -> None:
    clock = FakeClock()
    isolation = Isolation(clock, Random(0), 3)
    assert (isolation.active, isolation.occupied) == (False, False)
    attempt = started(clock)
    isolation.enter(attempt)
    assert (isolation.active, isolation.occupied) == (True, True)
    clock.advance(SUSPECT_ALONE)
    # Other tasks are fetched again, but no other suspect starts beside it
    assert (isolation.active, isolation.occupied) == (False, True)
    clock.advance(SUSPECT_TURN - SUSPECT_ALONE)
    assert (isolation.active, isolation.occupied) == (False, False), "hour-long suspects run side by side"


def test_a_suspect_that_ended_makes_room_for_the_next() -> None:
    clock = FakeClock()
    isolation = Isolation(clock, Random(0), 3)
    attempt = started(clock)
    isolation.enter(attempt)
    clock.advance(SUSPECT_ALONE)
    attempt.finished = True
    assert (isolation.active, isolation.occupied) == (False, False)


def test_a_suspect_that_ended_frees_the_server_at_once() -> None:
    clock = FakeClock()
    isolation = Isolation(clock, Random(0), 3)
    attempt = started(clock)
    isolation.enter(attempt)
    attempt.finished = True
    assert not isolation.active


def test_suspects_are_deferred_by_different_delays() -> None:
    isolation = Isolation(FakeClock(), Random(0), 3)
    delays = {isolation.delay() for _ in range(10)}
    assert len(delays) == 10
    assert all(0.5 * SUSPECT_DELAY <= delay <= 1.5 * SUSPECT_DELAY for delay in delays)
