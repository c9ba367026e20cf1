"""Handlers that start processes, which inherit the pipes of their worker and outlive it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import tasks
from tests.acceptance.harness import LEASE, Deployment, Process, descendants, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def no_child_is_left(deployment: Deployment) -> Iterator[None]:
    """Kill what the handlers started."""
    yield
    for line in deployment.executions.lines("child"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.id), signal.SIGKILL)


def command(pid: int) -> bytes:
    """The command line of a running process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def worker_that_forks(deployment: Deployment, task: Any, how: str) -> tuple[Process, list[int]]:
    """A worker whose handler started processes, and the ids of its lease keeper and its task process."""
    worker = deployment.worker(lease=LEASE, processes=1, shutdown_timeout=1.0)
    number = deployment.client.enqueue(tasks.square.task(12)).id
    assert deployment.client.result(number, int, timeout=20) == 144  # there is a task process
    deployment.client.enqueue(task.task(how))
    lines = until("its handler has started processes", lambda: deployment.executions.lines("child"))
    forked = {int(line.id) for line in lines}
    helpers = [
        pid
        for pid in descendants(worker.pid)
        if pid not in forked and (b"lease_keeper" in command(pid) or b"spawn_main" in command(pid))
    ]
    assert len(helpers) == 2
    return worker, helpers


each_task = pytest.mark.parametrize("task", [tasks.forking, tasks.forking_process], ids=["thread", "process"])


@each_task
@pytest.mark.parametrize("how", ["fork", "pool", "executor", "subprocess"])
def test_children_of_a_handler_do_not_keep_the_leases_of_a_killed_worker(
    deployment: Deployment, task: Any, how: str
) -> None:
    killed, helpers = worker_that_forks(deployment, task, how)
    deployment.worker(lease=LEASE)
    killed.kill()
    killed_at = time.time()

    lines = until(
        "another worker runs the task",
        lambda: [line for line in deployment.executions.lines("start")[1:] if line.at > killed_at],
        timeout=LEASE + 10,
    )
    lease = LEASE + deployment.store.lease_rounding
    took = lines[0].at - killed_at
    print(f"\ntaken over {took:.1f} s after the death, lease {lease:.0f} s")
    assert took < lease + 4  # guaranteed are 2 s; test machines are slow
    assert [pid for pid in helpers if command(pid)] == []
    forks = [int(line.id) for line in deployment.executions.lines("child") if line.at <= killed_at]
    if task is tasks.forking:
        assert any(map(command, forks)), "they outlive the worker, and keep no lease"
    else:
        until("the processes that a task process started end with it", lambda: not any(map(command, forks)))


@each_task
@pytest.mark.parametrize("how", ["fork", "pool", "subprocess"])
def test_children_of_a_handler_do_not_delay_a_shutdown(deployment: Deployment, task: Any, how: str) -> None:
    worker, helpers = worker_that_forks(deployment, task, how)
    asked_at = time.time()
    worker.terminate()
    took = time.time() - asked_at
    print(f"\nended {took:.1f} s after TERM, shutdown timeout 1 s")
    assert took < 4
    assert [pid for pid in helpers if command(pid)] == []
