"""`asynqio doctor`: text, JSON and exit status."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.cli.support.command import asynqio

FILL = """
import asyncio
from asynqio import Client, Inspector, Task

async def main():
    async with Client("sqlite:///tasks.db") as client, Inspector(client.broker) as inspector:
        await client.enqueue_many([Task("a", b"1"), Task("a", b"2")])
        await inspector.pause("default")

asyncio.run(main())
"""


def fill(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", FILL], cwd=folder, check=True, timeout=60)


def test_without_findings(tmp_path: Path) -> None:
    done = asynqio("doctor", "--broker", "sqlite:///tasks.db", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no problems found\n", "")


def test_findings_come_with_advice(tmp_path: Path) -> None:
    fill(tmp_path)
    done = asynqio("doctor", cwd=tmp_path, env={"ASYNQIO_BROKER": "sqlite:///tasks.db"})
    assert done.stdout == (
        "warning  no-server: 2 tasks wait in queue 'default', but no server serves it\n"
        "         -> start a server: asynqio worker MODULE:APP --queues default\n"
        "info     queue-paused: queue 'default' is paused\n"
        "         -> resume the queue when its tasks may run\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_json(tmp_path: Path) -> None:
    fill(tmp_path)
    done = asynqio("doctor", "--broker", "sqlite:///tasks.db", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert [one["code"] for one in found] == ["no-server", "queue-paused"]
    assert found[0] == {
        "severity": "warning",
        "code": "no-server",
        "sentence": "2 tasks wait in queue 'default', but no server serves it",
        "advice": "start a server: asynqio worker MODULE:APP --queues default",
        "queue": "default",
        "fixable": False,
        "fixed": False,
    }
    empty = asynqio("doctor", "--broker", "sqlite:///empty.db", "--json", cwd=tmp_path)
    assert (empty.stdout, empty.returncode) == ("[]\n", 0)


def test_errors_set_the_status_until_they_are_repaired(tmp_path: Path) -> None:
    # Given a task whose server died long ago
    fill(tmp_path)
    connection = sqlite3.connect(tmp_path / "tasks.db")
    connection.execute("UPDATE tasks SET state = 'active', at = 5, token = 1, owner = 'x' WHERE key % 2")
    connection.execute("UPDATE tallies SET count = count - 1 WHERE what = 'pending'")
    connection.commit()
    connection.close()
    arguments = ("doctor", "--broker", "sqlite:///tasks.db")
    # Then status and text report an error
    done = asynqio(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "ERROR    not-recovered: 1 tasks of queue 'default'" in done.stdout
    assert "run the doctor with --fix" in done.stdout
    # until it is repaired
    done = asynqio(*arguments, "--fix", cwd=tmp_path)
    assert done.returncode == 0
    assert "(repaired)" in done.stdout
    done = asynqio(*arguments, cwd=tmp_path)
    assert "not-recovered" not in done.stdout


def test_an_unreachable_store_is_reported_in_one_line(tmp_path: Path) -> None:
    done = asynqio("doctor", "--broker", "redis://127.0.0.1:1?patience=0.1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("asynqio: Redis at 127.0.0.1:1 cannot be reached")
