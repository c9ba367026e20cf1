"""`asynqio explain` on SQLite and Redis, with a worker that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from asynqio import AttemptOutcome, LogLine, StateChange, Task, TaskInfo, TaskState
from asynqio.brokers import open_broker
from asynqio.sync import Client, Inspector
from tests.builders import entry
from tests.cli.support.command import asynqio, command
from tests.conformance.conftest import broker_url

SHOP = """
import asyncio, os
from asynqio import App, SkipRetry, current

app = App(os.environ["ASYNQIO_BROKER"])

@app.task("pack")
async def pack(order: int) -> None:
    current().log(f"packing {order}")
    if current().retried:
        raise SkipRetry("the box is gone")
    await asyncio.sleep(60)
"""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return broker_url(request.param, tmp_path)


def put(url: str, type: str = "pack", **options: Any) -> TaskInfo:
    with Client(url) as client:
        return client.enqueue(Task.json(type, {"order": 7}, **options))


def test_a_task_is_explained_before_during_and_after_the_death_of_its_worker(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    env = {"ASYNQIO_BROKER": url}
    # Given a task without a worker
    info = put(url)
    done = asynqio("explain", info.id, cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"Task pack {info.id} in queue default: pending"
    assert re.fullmatch(r"  It was enqueued [\d.]+ s ago, at \d\d:\d\d:\d\d UTC\.", lines[3])
    assert "  No server serves queue 'default': no server is running." in lines
    # When a worker runs it and logs a line
    arguments = ["worker", "shop:app", "-c", "1", "--lease", "2", "--no-supervisor"]
    with Client(url) as client, command(*arguments, cwd=tmp_path, env=env) as worker:
        for event in client.follow(info):
            if isinstance(event, LogLine):
                break
        done = asynqio("explain", info.id, "--json", cwd=tmp_path, env=env)
        facts = json.loads(done.stdout)
        assert (facts["situation"], facts["state"], facts["queue"]) == ("running", "active", "default")
        assert any("has been running it" in line for line in facts["why"])
        assert "Last log line: packing 7." in facts["why"]
        # and is killed, the next worker records the lost attempt
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.end()
        with command(*arguments, cwd=tmp_path, env=env) as other:
            [*_, last] = client.follow(info)
            other.signal(signal.SIGTERM)
            assert other.end() == 0
    assert isinstance(last, StateChange)
    assert last.state is TaskState.ARCHIVED
    # Then the explanation has all attempts
    text = asynqio("explain", info.id, "-q", "default", cwd=tmp_path, env=env).stdout
    assert re.search(
        r"\n  Attempt 1 on \S+ was lost with its server after [\d.]+ s at \S+ UTC: task lease", text
    )
    assert re.search(r"\n  Attempt 2 on \S+ failed after [\d.]+ s at \S+ UTC: the box is gone\n", text)
    assert "\n  Its handler raised SkipRetry" in text
    with Inspector(url) as inspector:
        lost, failed = inspector.attempts(info.id)
    assert (lost.outcome, [line.text for line in lost.log]) == (AttemptOutcome.LOST, ["packing 7"])
    assert (failed.outcome, [line.text for line in failed.log]) == (AttemptOutcome.FAILED, ["packing 7"])


def test_without_a_queue_all_queues_are_searched(url: str, tmp_path: Path) -> None:
    for queue in ("mail", "default", "print"):
        put(url, queue=queue, task_id="a" if queue != "default" else "b")
    env = {"ASYNQIO_BROKER": url}
    both = asynqio("explain", "a", cwd=tmp_path, env=env).stdout
    assert re.findall(r"^Task.*", both, re.MULTILINE) == [
        "Task pack a in queue mail: pending",
        "Task pack a in queue print: pending",
    ]
    facts = json.loads(asynqio("explain", "a", "--json", cwd=tmp_path, env=env).stdout)
    assert [one["queue"] for one in facts] == ["mail", "print"]
    assert asynqio("explain", "b", cwd=tmp_path, env=env).stdout.startswith("Task pack b in queue default: ")


def test_an_unknown_task_is_explained_with_status_4(url: str, tmp_path: Path) -> None:
    put(url, queue="mail", task_id="a")
    for arguments in (["ghost"], ["a", "--queue", "default"]):
        done = asynqio("explain", *arguments, "--broker", url, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (4, "")
        assert done.stdout.startswith(f"Task {arguments[0]} in queue default: not found\n")
        done = asynqio("explain", *arguments, "--json", "--broker", url, cwd=tmp_path)
        facts = json.loads(done.stdout)
        assert (done.returncode, facts["state"], facts["situation"]) == (4, None, "not-found")
    assert (
        "asynqio explain a --queue mail"
        in asynqio("explain", "a", "-q", "default", "--broker", url, cwd=tmp_path).stdout
    )


def test_task_types_cannot_control_the_terminal(url: str, tmp_path: Path) -> None:
    async def enqueue() -> None:
        async with open_broker(url) as broker:
            await broker.enqueue([entry("a", type="odd \x1b[31m red")])

    asyncio.run(enqueue())
    done = asynqio("explain", "a", "--broker", url, cwd=tmp_path)
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("Task odd \\x1b[31m red a in queue default: pending\n")


def test_without_a_broker_the_error_says_how_to_name_one(tmp_path: Path) -> None:
    done = asynqio("explain", "a", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ASYNQIO_BROKER" in done.stderr
