"""Three workers, one of which is killed or terminated every second, while a producer enqueues tasks."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.execution_log import Line
from tests.acceptance.harness import TASKS, Deployment, Process, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

WORKERS = 3
CRASH_LEASE = 2.0
#: Tasks per second of the producer: slow enough for several kills, fast enough to keep all workers busy.
RATE = 800


def churn(deployment: Deployment, end: Callable[[Process], None], tasks: int = TASKS, forks: int = 0) -> int:
    """Run `tasks` tasks while `end` is applied to a random worker every second; return the number of ends."""
    # These kills are external: a task in flight at three consecutive kills is not poison. The limit of three
    # crashes is tested elsewhere.
    options: dict[str, Any] = {"concurrency": 20, "lease": CRASH_LEASE, "max_crashes": 20}
    workers = [deployment.worker(**options) for _ in range(WORKERS)]
    producer = deployment.start("producer", tasks=tasks, rate=RATE, forks=forks)
    ends = 0
    next_end = time.monotonic() + 1
    while producer.alive or deployment.stats().size:
        time.sleep(max(0.0, next_end - time.monotonic()))
        next_end += 1
        if producer.alive or deployment.stats().size:  # a slow producer may not have made the queue yet
            victim = random.randrange(WORKERS)
            end(workers[victim])
            workers[victim] = deployment.worker(ready=False, **options)
            ends += 1
        assert ends < 120, deployment.stats()
    assert producer.wait() == 0, producer.log
    for worker in workers:
        worker.wait_for_log("server started")
        worker.terminate()
    return ends


def check_nothing_is_left(deployment: Deployment) -> None:
    stats = deployment.stats()
    assert stats.size == 0, stats
    assert stats.archived == 0
    assert deployment.store.locks() == 0


@pytest.mark.parametrize("kind", ["sqlite", "redis", "redis-cluster"])
def test_no_accepted_task_is_lost_when_workers_are_killed(deployment: Deployment, kind: str) -> None:
    check_kills(deployment, kind, forks=0)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_no_accepted_task_is_lost_when_workers_whose_handlers_fork_are_killed(
    deployment: Deployment, kind: str
) -> None:
    check_kills(deployment, kind, forks=100)


def check_kills(deployment: Deployment, kind: str, *, forks: int) -> None:
    """Kill workers until all tasks have run. One of `forks` tasks forks, if that is not 0."""
    # A cluster serves one queue as a single server does, so a short run suffices.
    tasks = TASKS // 2 if kind == "redis-cluster" else TASKS
    killed: dict[int, int] = {}
    killed_at: dict[int, float] = {}

    def kill(worker: Process) -> None:
        worker.kill()
        killed_at[worker.pid] = time.time()
        # These are recovered only after their leases have expired.
        killed[worker.pid] = deployment.leased_by(worker.pid)

    kills = churn(deployment, kill, tasks, forks)

    accepted, starts = deployment.executions.ids("accepted"), deployment.executions.starts()
    again = sum(starts.values()) - len(starts)
    print(
        f"\n{len(accepted)} tasks, {kills} kills, {sum(killed.values())} in flight at them, {again} run again"
    )
    assert len(accepted) == tasks
    assert accepted == deployment.executions.ids("end")
    assert again <= sum(killed.values())
    check_nothing_is_left(deployment)
    # Only tasks that a killed worker had started were started again.
    order = deployment.executions.lines("start")
    last = {line.id: line.pid for line in order}
    repeated = {line.pid for line in order if starts[line.id] > 1 and last[line.id] != line.pid}
    assert repeated <= killed.keys()
    waits = [after.at - killed_at[before.pid] for before, after in successive(order)]
    lease = CRASH_LEASE + deployment.store.lease_rounding
    print(f"run again {max(waits, default=0):.1f} s after the kill at the latest, lease {lease:.0f} s")
    assert max(waits, default=0) < lease + 6  # guaranteed are 2 s; test machines are slow


def successive(order: list[Line]) -> Iterator[tuple[Line, Line]]:
    """Pairs of consecutive executions of the same task."""
    before: dict[str, Line] = {}
    for line in order:
        if line.id in before:
            yield before[line.id], line
        before[line.id] = line


def test_terminated_workers_lose_and_repeat_nothing(deployment: Deployment) -> None:
    terms = churn(deployment, Process.terminate)

    accepted, starts = deployment.executions.ids("accepted"), deployment.executions.starts()
    print(f"\n{len(accepted)} tasks, {terms} terminations, {sum(starts.values())} executions")
    assert len(accepted) == TASKS
    assert starts.keys() == accepted == deployment.executions.ids("end")
    assert sum(starts.values()) == TASKS
    stats = deployment.stats()
    assert (stats.processed_total, stats.failed_total) == (TASKS, 0)
    check_nothing_is_left(deployment)


def test_acknowledged_tasks_of_a_killed_producer_are_stored(deployment: Deployment) -> None:
    deployment.client.enqueue_many([])  # creates the file
    producer = deployment.start("producer", tasks=10_000_000, chunk=1_000, longest=0.0)
    producer.wait_for_log(f"acknowledged {max(2, TASKS // 1_000)}000")
    until("it is in the middle of the next ones", lambda: random.random() < 0.1, every=0.001)
    producer.kill()

    accepted = deployment.executions.ids("accepted")
    stored = deployment.stats().pending
    print(f"\n{len(accepted)} acknowledged, {stored} stored")
    missing = [id for id in accepted if deployment.client.find(id).id != id]
    assert not missing
    assert len(accepted) <= stored <= len(accepted) + 1_000
    assert stored % deployment.store.atomic_batch == 0, "stored completely or not at all"

    worker = deployment.worker(concurrency=50)
    until("all of them are done", lambda: deployment.stats().size == 0, timeout=60)
    worker.terminate()
    assert accepted <= deployment.executions.ids("end")
    assert sum(deployment.executions.starts().values()) == stored


def test_a_killed_bulk_enqueue_leaves_complete_tasks(deployment: Deployment) -> None:
    producer = deployment.start("producer", tasks=200_000, chunk=200_000)
    until(
        "some are stored", lambda: any(queue.pending for queue in deployment.inspector.queues()), timeout=60
    )
    producer.kill()

    assert not deployment.executions.ids("accepted")
    stored = deployment.stats().pending
    assert 0 < stored < 200_000
    assert stored % deployment.store.atomic_batch == 0
