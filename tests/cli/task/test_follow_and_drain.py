"""`asynqio task follow` and `queue drain`, with and without a worker."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from asynqio import Task
from asynqio.sync import Client, Inspector
from tests.cli.support.command import asynqio, command
from tests.conformance.conftest import broker_url

SHOP = """
import asyncio, os
from asynqio import App, SkipRetry, current

app = App(os.environ["ASYNQIO_BROKER"])

@app.task("pack", retention=60)
async def pack(order: int) -> str:
    current().log(f"packing {order}")
    current().report_progress({"packed": 1})
    if order == 13:
        raise SkipRetry("the box is gone")
    return "packed"
"""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "shop.py").write_text(SHOP)
    return broker_url(request.param, tmp_path)


@pytest.mark.parametrize(("order", "status", "state"), [(7, 0, "completed"), (13, 1, "archived")])
def test_a_task_is_followed_to_its_end(url: str, tmp_path: Path, order: int, status: int, state: str) -> None:
    env = {"ASYNQIO_BROKER": url}
    with Client(url) as client:
        client.enqueue(Task.json("pack", {"order": order}, task_id="a", retention=60))
    # Given a follower of a pending task
    with command("task", "follow", "a", "--json", "--timeout", "1m", cwd=tmp_path, env=env) as follower:
        first = json.loads(follower.line('"event"').string)
        assert (first["event"], first["state"]) == ("state", "pending")
        # When a worker starts
        with command("worker", "shop:app", cwd=tmp_path, env=env) as worker:
            event = json.loads(follower.line('"log"').string)
            assert event["text"] == f"packing {order}"
            last = json.loads(follower.line(f'"{state}"').string)
            assert last.get("error", "") == ("the box is gone" if status else "")
            worker.signal(signal.SIGTERM)
            assert worker.end() == 0
        # Then the follower ends with the task
        assert follower.end() == status
    done = asynqio("task", "follow", "a", cwd=tmp_path, env=env)
    assert done.returncode == status
    assert done.stdout.splitlines()[0].split()[1:3] == ["state", f"{state}{':' if status else ''}"]


def test_a_timeout_exits_with_status_3(url: str, tmp_path: Path) -> None:
    env = {"ASYNQIO_BROKER": url}
    with Client(url) as client:
        client.enqueue(Task.json("pack", {"order": 7}, task_id="a"))
    done = asynqio("task", "follow", "a", "--timeout", "100ms", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (3, "asynqio: timed out; task 'a' is pending\n")
    done = asynqio("queue", "drain", "default", "--timeout", "100ms", "--json", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (3, "asynqio: timed out; tasks are left\n")
    assert json.loads(done.stdout) == [{"queue": "default", "done": False, "left": 1}]
    done = asynqio("queue", "drain", "default", "--timeout", "soon", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert "soon" in done.stderr


def test_drain_ends_when_the_queue_is_empty(url: str, tmp_path: Path) -> None:
    env = {"ASYNQIO_BROKER": url}
    with Client(url) as client:
        client.enqueue_many([Task.json("pack", {"order": number}) for number in range(100)])
    drain_words = ("queue", "drain", "default", "--timeout", "1m")
    with (
        command(*drain_words, cwd=tmp_path, env=env) as drain,
        command("worker", "shop:app", cwd=tmp_path, env=env) as worker,
    ):
        drain.line("queue default has no tasks left")
        assert drain.end() == 0
        with Inspector(url) as inspector:
            assert inspector.queue("default").processed == 100
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


def test_unknown_tasks_and_queues_exit_with_status_4(url: str, tmp_path: Path) -> None:
    env = {"ASYNQIO_BROKER": url}
    assert asynqio("task", "follow", "ghost", cwd=tmp_path, env=env).returncode == 4
    done = asynqio("task", "follow", "ghost", "--json", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (4, "")
    assert asynqio("queue", "drain", "ghost", cwd=tmp_path, env=env).returncode == 4
