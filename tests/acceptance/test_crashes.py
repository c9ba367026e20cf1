"""Three workers, one of which is killed or terminated every second, while tasks keep coming in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.harness import TASKS, Process, Stage, until
from tests.acceptance.journal import Line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WORKERS = 3
CRASH_LEASE = 2.0
#: Tasks per second that the producer brings in: slow enough for some kills, fast enough to keep everybody busy.
RATE = 800


def churn(stage: Stage, end: Callable[[Process], None], tasks: int = TASKS) -> int:
    """Run so many tasks while `end` is done to a random worker every second: how often that was."""
    # These kills come from outside: a task that happens to be in flight at three of them in a row is not poison,
    # and the limit that would archive it as such (3) is tested elsewhere.
    options: dict[str, Any] = {"concurrency": 20, "lease": CRASH_LEASE, "max_crashes": 20}
    workers = [stage.worker(**options) for _ in range(WORKERS)]
    producer = stage.start("producer", tasks=tasks, rate=RATE)
    ends = 0
    next_end = time.monotonic() + 1
    while producer.alive or stage.stats().size:
        time.sleep(max(0.0, next_end - time.monotonic()))
        next_end += 1
        if stage.stats().size or producer.alive:
            victim = random.randrange(WORKERS)
            end(workers[victim])
            workers[victim] = stage.worker(ready=False, **options)
            ends += 1
        assert ends < 120, stage.stats()
    assert producer.wait() == 0, producer.log
    for worker in workers:
        worker.wait_to_say("server started")
        worker.terminate()
    return ends


def check_nothing_is_left(stage: Stage) -> None:
    stats = stage.stats()
    assert stats.size == 0, stats
    assert stats.archived == 0
    assert stage.place.locks() == 0


@pytest.mark.parametrize("kind", ["sqlite", "redis", "redis-cluster"])
def test_no_accepted_task_is_lost_when_workers_are_killed(stage: Stage, kind: str) -> None:
    # A cluster does nothing else for one queue than a server does: it is shown in short.
    tasks = TASKS // 2 if kind == "redis-cluster" else TASKS
    killed: dict[int, int] = {}
    killed_at: dict[int, float] = {}

    def kill(worker: Process) -> None:
        worker.kill()
        killed_at[worker.pid] = time.time()
        # Nobody takes these over before the lease is up.
        killed[worker.pid] = stage.leased_by(worker.pid)

    kills = churn(stage, kill, tasks)

    accepted, starts = stage.journal.ids("accepted"), stage.journal.starts()
    again = sum(starts.values()) - len(starts)
    print(
        f"\n{len(accepted)} tasks, {kills} kills, {sum(killed.values())} in flight at them, {again} run again"
    )
    assert len(accepted) == tasks
    assert accepted == stage.journal.ids("end")
    assert again <= sum(killed.values())
    check_nothing_is_left(stage)
    # Only what a killed worker had begun was begun again, whatever the others were doing.
    order = stage.journal.lines("start")
    last = {line.id: line.pid for line in order}
    repeated = {line.pid for line in order if starts[line.id] > 1 and last[line.id] != line.pid}
    assert repeated <= killed.keys()
    waits = [after.at - killed_at[before.pid] for before, after in successive(order)]
    lease = CRASH_LEASE + stage.place.grain
    print(f"run again {max(waits, default=0):.1f} s after the kill at the latest, lease {lease:.0f} s")
    assert max(waits, default=0) < lease + 6  # P1 says 2; machines that run tests are slow


def successive(order: list[Line]) -> Iterator[tuple[Line, Line]]:
    """The executions of the same task, each with the one that followed it."""
    before: dict[str, Line] = {}
    for line in order:
        if line.id in before:
            yield before[line.id], line
        before[line.id] = line


def test_terminating_workers_costs_nothing_at_all(stage: Stage) -> None:
    terms = churn(stage, Process.terminate)

    accepted, starts = stage.journal.ids("accepted"), stage.journal.starts()
    print(f"\n{len(accepted)} tasks, {terms} terminations, {sum(starts.values())} executions")
    assert len(accepted) == TASKS
    assert starts.keys() == accepted == stage.journal.ids("end")
    assert sum(starts.values()) == TASKS
    stats = stage.stats()
    assert (stats.processed_total, stats.failed_total) == (TASKS, 0)
    check_nothing_is_left(stage)


def test_what_was_acknowledged_to_a_killed_producer_is_there(stage: Stage) -> None:
    stage.client.enqueue_many([])  # the file is there
    producer = stage.start("producer", tasks=10_000_000, chunk=1_000, longest=0.0)
    producer.wait_to_say(f"acknowledged {max(2, TASKS // 1_000)}000")
    until("it is in the middle of the next ones", lambda: random.random() < 0.1, every=0.001)
    producer.kill()

    accepted = stage.journal.ids("accepted")
    stored = stage.stats().pending
    print(f"\n{len(accepted)} acknowledged, {stored} stored")
    missing = [id for id in accepted if stage.client.find(id).id != id]
    assert not missing
    assert len(accepted) <= stored <= len(accepted) + 1_000
    assert stored % stage.place.together == 0, "taken wholly or not at all"

    worker = stage.worker(concurrency=50)
    until("all of them are done", lambda: stage.stats().size == 0, timeout=60)
    worker.terminate()
    assert accepted <= stage.journal.ids("end")
    assert sum(stage.journal.starts().values()) == stored


def test_a_huge_enqueue_many_that_is_killed_leaves_whole_tasks(stage: Stage) -> None:
    producer = stage.start("producer", tasks=200_000, chunk=200_000)
    until("some are stored", lambda: any(queue.pending for queue in stage.inspector.queues()), timeout=60)
    producer.kill()

    assert not stage.journal.ids("accepted")
    stored = stage.stats().pending
    assert 0 < stored < 200_000
    assert stored % stage.place.together == 0
