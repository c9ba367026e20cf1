"""Three schedulers serve the same entries and are killed at random: each tick fires once."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from asynqio import TaskInfo, TaskState
from tests.acceptance.harness import Deployment, Process

#: Seconds for which schedulers are killed; the full size is 60.
SECONDS = float(os.environ.get("ASYNQIO_CRON_SECONDS", "10"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 2 * int(SECONDS))]

SCHEDULERS, ENTRIES, QUEUES = 3, 200, 4
#: Longest pause between two kills in seconds.
LONGEST_PAUSE = 1.5


def scheduler(deployment: Deployment, *, ready: bool = True) -> Process:
    process = deployment.start("scheduler", entries=ENTRIES, queues=QUEUES)
    if ready:
        process.wait_for_log("scheduler started")
    return process


def enqueued_tasks(deployment: Deployment) -> Iterator[TaskInfo]:
    """All enqueued tasks; none has run."""
    for number in range(QUEUES):
        offset = 0
        while page := deployment.inspector.tasks(f"q{number}", TaskState.PENDING, size=1_000, offset=offset):
            yield from page
            offset += len(page)


def test_each_tick_fires_once_despite_killed_schedulers(deployment: Deployment) -> None:
    alive = [scheduler(deployment) for _ in range(SCHEDULERS)]
    first = int(time.time()) + 1
    kills = blackouts = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(random.uniform(0.1, LONGEST_PAUSE))  # at any time: before, during and after a call
        # One time in five no scheduler is left, and the next one takes over.
        blackout = random.random() < 0.2
        victims = range(SCHEDULERS) if blackout else [random.randrange(SCHEDULERS)]
        for number in victims:
            alive[number].kill()
            kills += 1
        blackouts += blackout
        for number in victims:
            alive[number] = scheduler(deployment, ready=False)
    for process in alive:
        process.wait_for_log("scheduler started")
    last = int(time.time()) + 1
    time.sleep(last + 2 - time.time())  # ticks are in real time
    for process in alive:
        process.terminate()

    ticks: Counter[tuple[str, int]] = Counter()
    late = 0.0
    for info in enqueued_tasks(deployment):
        tick = int(info.headers["asynqio-tick"])
        assert info.type == f"tick:{info.headers['asynqio-schedule'].removeprefix('s')}"
        assert info.pending_since >= tick, "early"
        late = max(late, info.pending_since - tick)
        ticks[info.type, tick] += 1
    expected = {(f"tick:{n}", tick) for n in range(ENTRIES) for tick in range(first, last + 1)}
    print(
        f"\n{len(ticks):,} ticks of {ENTRIES} entries, {kills} kills, all at once {blackouts} times: "
        f"{sum(ticks.values()) - len(ticks)} fired twice, {len(expected - ticks.keys())} missed, "
        f"taken over within {late:.2f} s"
    )
    assert set(ticks.values()) == {1}, "a tick fired twice"
    assert not expected - ticks.keys(), "a tick was missed"
