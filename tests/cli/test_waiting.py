"""`asynqio task follow` and `queue drain`: beside a worker, and beside none."""

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
    # Given somebody who follows a task that nobody runs yet
    with command("task", "follow", "a", "--json", "--timeout", "1m", cwd=tmp_path, env=env) as follower:
        first = json.loads(follower.line('"event"').string)
        assert (first["event"], first["state"]) == ("state", "pending")
        # When a worker comes
        with command("worker", "shop:app", cwd=tmp_path, env=env) as worker:
            said = json.loads(follower.line('"log"').string)
            assert said["text"] == f"packing {order}"
            last = json.loads(follower.line(f'"{state}"').string)
            assert last.get("error", "") == ("the box is gone" if status else "")
            worker.signal(signal.SIGTERM)
            assert worker.end() == 0
        # Then it hears of all that happens, and ends with it
        assert follower.end() == status
    done = asynqio("task", "follow", "a", cwd=tmp_path, env=env)
    assert done.returncode == status
    assert done.stdout.splitlines()[0].split()[1:3] == ["state", f"{state}{':' if status else ''}"]


def test_waiting_ends_with_status_3_when_the_time_is_over(url: str, tmp_path: Path) -> None:
    env = {"ASYNQIO_BROKER": url}
    with Client(url) as client:
        client.enqueue(Task.json("pack", {"order": 7}, task_id="a"))
    done = asynqio("task", "follow", "a", "--timeout", "100ms", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (3, "asynqio: task 'a' is pending, and was not done in time\n")
    done = asynqio("queue", "drain", "default", "--timeout", "100ms", "--json", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (3, "asynqio: they were not done in time\n")
    assert json.loads(done.stdout) == [{"queue": "default", "done": False, "left": 1}]
    done = asynqio("queue", "drain", "default", "--timeout", "soon", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert "soon" in done.stderr


def test_a_queue_is_drained_when_everything_was_done(url: str, tmp_path: Path) -> None:
    env = {"ASYNQIO_BROKER": url}
    with Client(url) as client:
        client.enqueue_many([Task.json("pack", {"order": number}) for number in range(100)])
    drain_words = ("queue", "drain", "default", "--timeout", "1m")
    with (
        command(*drain_words, cwd=tmp_path, env=env) as drain,
        command("worker", "shop:app", cwd=tmp_path, env=env) as worker,
    ):
        drain.line("queue default has no task to do")
        assert drain.end() == 0
        with Inspector(url) as inspector:
            assert inspector.queue("default").processed == 100
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


def test_what_is_not_there_is_status_4(url: str, tmp_path: Path) -> None:
    env = {"ASYNQIO_BROKER": url}
    assert asynqio("task", "follow", "ghost", cwd=tmp_path, env=env).returncode == 4
    assert asynqio("queue", "drain", "ghost", cwd=tmp_path, env=env).returncode == 4
