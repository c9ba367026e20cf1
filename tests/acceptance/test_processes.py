"""Handlers that have to be killed, and handlers that kill their worker."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from asynqio import TaskState
from tests.acceptance import tasks
from tests.acceptance.harness import Process, Stage, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def started(stage: Stage, id: str, times: int) -> bool:
    return stage.journal.starts()[id] >= times


def is_in(stage: Stage, id: str, state: TaskState) -> bool:
    return bool(stage.client.find(id).state is state)


def test_an_endless_loop_in_a_process_is_killed_and_retried_and_the_pool_is_whole(stage: Stage) -> None:
    worker = stage.worker(processes=1)
    id = stage.client.enqueue(tasks.endless.task()).id
    for attempt, state in ((1, TaskState.RETRY), (2, TaskState.ARCHIVED)):
        until("it runs", partial(started, stage, id, attempt), timeout=20)
        line = [line for line in stage.journal.lines("start") if line.id == id][-1]
        until("its process is dead", partial(gone, line.pid), timeout=5, every=0.002)
        print(f"\nattempt {attempt}: dead {time.time() - line.at:.2f} s after its start (timeout 1 s)")
        until(f"the task is in {state}", partial(is_in, stage, id, state))
        assert "time" in stage.client.find(id).last_error
        # One process is all there may be: without a new one this would wait for ever.
        number = stage.client.enqueue(tasks.square.task(12)).id
        assert stage.client.result(number, int, timeout=20) == 144

    stats = stage.stats()
    assert (stats.archived, stats.failed_total) == (1, 2)
    worker.terminate()
    assert stage.journal.starts()[id] == 2
    assert id not in stage.journal.ids("end")


def run_until_quiet(stage: Stage, concurrency: int) -> None:
    """Restart dead workers, as a supervisor does, until there is nothing left to do."""
    workers: list[Process] = []

    def quiet() -> bool:
        if not workers or not workers[-1].alive:
            workers.append(stage.worker(ready=False, lease=1.0, concurrency=concurrency))
        stats = stage.stats()
        return bool(stats.size == stats.archived)

    until("nothing is left to do", quiet, timeout=90)
    workers[-1].wait_to_say("server started")
    workers[-1].terminate()


def test_a_task_that_keeps_killing_its_worker_is_archived_and_the_others_go_on(stage: Stage) -> None:
    poison = stage.client.enqueue(tasks.deadly.task()).id
    stage.client.enqueue_many(tasks.brief.task(0.01) for _ in range(20))

    run_until_quiet(stage, concurrency=1)

    info = stage.client.find(poison)
    assert info.state is TaskState.ARCHIVED
    assert info.last_error.startswith("crash loop: 3 workers in a row"), info.last_error
    assert stage.journal.starts()[poison] == 3
    assert len(stage.journal.ids("end")) == 20
    assert stage.stats().archived == 1


@pytest.mark.parametrize("kind", ["sqlite"])  # it is the worker that decides, whatever the broker
@pytest.mark.parametrize("seconds", [0.01, 1.0])
def test_who_runs_beside_a_poisoned_task_is_not_taken_for_poison(stage: Stage, seconds: float) -> None:
    beside = [tasks.in_thread.task(seconds) for _ in range(8)]
    stage.client.enqueue_many([*beside[:4], tasks.deadly.task(), *beside[4:]])

    run_until_quiet(stage, concurrency=10)

    given_up = stage.inspector.tasks("default", TaskState.ARCHIVED)
    assert [info.type for info in given_up] == ["deadly"]
    assert len(stage.journal.ids("end")) == 8
