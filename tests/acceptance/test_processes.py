"""Handlers that must be killed, and handlers that kill their worker."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from asynqio import TaskState
from tests.acceptance import tasks
from tests.acceptance.harness import Deployment, Process, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def started(deployment: Deployment, id: str, times: int) -> bool:
    return deployment.executions.starts()[id] >= times


def is_in(deployment: Deployment, id: str, state: TaskState) -> bool:
    return bool(deployment.client.find(id).state is state)


def test_an_endless_loop_in_a_process_is_killed_and_retried(
    deployment: Deployment,
) -> None:
    worker = deployment.worker(processes=1)
    id = deployment.client.enqueue(tasks.endless.task()).id
    for attempt, state in ((1, TaskState.RETRY), (2, TaskState.ARCHIVED)):
        until("it runs", partial(started, deployment, id, attempt), timeout=20)
        line = [line for line in deployment.executions.lines("start") if line.id == id][-1]
        until("its process is dead", partial(gone, line.pid), timeout=5, every=0.002)
        print(f"\nattempt {attempt}: dead {time.time() - line.at:.2f} s after its start (timeout 1 s)")
        until(f"the task is in {state}", partial(is_in, deployment, id, state))
        assert "time" in deployment.client.find(id).last_error
        # The pool has one process: without a replacement, this would wait forever.
        number = deployment.client.enqueue(tasks.square.task(12)).id
        assert deployment.client.result(number, int, timeout=20) == 144

    stats = deployment.stats()
    assert (stats.archived, stats.failed_total) == (1, 2)
    worker.terminate()
    assert deployment.executions.starts()[id] == 2
    assert id not in deployment.executions.ids("end")


def run_until_quiet(deployment: Deployment, concurrency: int) -> None:
    """Restart dead workers, as a supervisor does, until all tasks have ended."""
    workers: list[Process] = []

    def quiet() -> bool:
        if not workers or not workers[-1].alive:
            workers.append(deployment.worker(ready=False, lease=1.0, concurrency=concurrency))
        stats = deployment.stats()
        return bool(stats.size == stats.archived)

    until("nothing is left to do", quiet, timeout=90)
    workers[-1].wait_for_log("server started")
    workers[-1].terminate()


def test_a_task_that_kills_its_worker_repeatedly_is_archived_and_others_run(
    deployment: Deployment,
) -> None:
    poison = deployment.client.enqueue(tasks.deadly.task()).id
    deployment.client.enqueue_many(tasks.brief.task(0.01) for _ in range(20))

    run_until_quiet(deployment, concurrency=1)

    info = deployment.client.find(poison)
    assert info.state is TaskState.ARCHIVED
    assert info.last_error.startswith("crash loop: 3 workers in a row"), info.last_error
    assert deployment.executions.starts()[poison] == 3
    assert len(deployment.executions.ids("end")) == 20
    assert deployment.stats().archived == 1


@pytest.mark.parametrize("kind", ["sqlite"])  # the worker decides, independent of the broker
@pytest.mark.parametrize("seconds", [0.01, 1.0])
def test_a_task_next_to_a_poison_task_is_not_archived(deployment: Deployment, seconds: float) -> None:
    beside = [tasks.in_thread.task(seconds) for _ in range(8)]
    deployment.client.enqueue_many([*beside[:4], tasks.deadly.task(), *beside[4:]])

    run_until_quiet(deployment, concurrency=10)

    given_up = deployment.inspector.tasks("default", TaskState.ARCHIVED)
    assert [info.type for info in given_up] == ["deadly"]
    assert len(deployment.executions.ids("end")) == 8
