"""`asynqio cron`: text and JSON of each command, on real stores."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asynqio import ScheduleEntry, Scheduler, Task, open_broker
from tests.cli.support.command import asynqio, command
from tests.conformance.conftest import broker_url

#: One schedule that fires every second, and one that fires once a year.
APP = """
from asynqio import App

app = App()

@app.cron("@every 1s", name="tick", queue="low", timeout=90)
@app.task("tick", retention=60)
async def tick() -> None: ...

@app.cron("0 9 1 1 *", name="yearly", zone="Europe/Berlin")
@app.task("yearly")
async def yearly() -> None: ...
"""

TABLE = """\
id      spec       zone           type    queue    next  previous                 status  options
gone    0 0 30 2 * UTC            gone    default                                 active
nightly 0 0 30 2 * Europe/Berlin  report  low                                     paused  Queue("low") Timeout(1m30s)
"""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return broker_url(request.param, tmp_path)


def run(url: str, folder: Path, *arguments: str, status: int = 0) -> str:
    """The output of `asynqio cron …`."""
    done = asynqio("cron", *arguments, cwd=folder, env={"ASYNQIO_BROKER": url})
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def ask(url: str, folder: Path, *arguments: str) -> Any:
    """The JSON of `asynqio cron …`."""
    return json.loads(run(url, folder, *arguments, "--json"))


@contextlib.asynccontextmanager
async def _serving(url: str) -> AsyncIterator[None]:
    entries = [
        # Never fire: the 30th of February.
        ScheduleEntry(
            "0 0 30 2 *", Task("report", b"{}"), name="nightly", zone="Europe/Berlin", queue="low", timeout=90
        ),
        ScheduleEntry("0 0 30 2 *", Task("gone"), name="gone"),
    ]
    async with open_broker(url) as store, Scheduler(store, entries=entries):
        yield


@pytest.fixture
def served(url: str) -> Iterator[str]:
    """A store with a running scheduler."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    serving = _serving(url)
    asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result()
    yield url
    asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result()
    asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_schedules_are_listed(served: str, tmp_path: Path) -> None:
    run(served, tmp_path, "pause", "nightly")
    shown = run(served, tmp_path, "ls")
    assert [line.split() for line in shown.splitlines()] == [line.split() for line in TABLE.splitlines()]
    assert run(served, tmp_path, "list") == shown
    gone, nightly = ask(served, tmp_path, "ls")
    assert gone["id"] == "gone"
    assert nightly == {
        "id": "nightly",
        "spec": "0 0 30 2 *",
        "zone": "Europe/Berlin",
        "queue": "low",
        "type": "report",
        "payload": "e30=",
        "options": ['Queue("low")', "Timeout(1m30s)"],
        "missed": "once",
        "next_at": None,
        "prev_at": None,
        "paused": True,
    }


def test_a_schedule_is_paused_and_resumed(served: str, tmp_path: Path) -> None:
    assert run(served, tmp_path, "pause", "nightly") == "schedule nightly is paused\n"
    assert run(served, tmp_path, "pause", "nightly") == "schedule nightly was already paused\n"
    assert ask(served, tmp_path, "resume", "nightly") == {
        "schedule": "nightly",
        "paused": False,
        "changed": True,
    }
    assert run(served, tmp_path, "resume", "nightly") == "schedule nightly was not paused\n"
    assert run(served, tmp_path, "reset", "nightly") == "schedule nightly is reset\n"
    assert ask(served, tmp_path, "reset", "gone") == {"schedule": "gone", "reset": True}


def test_a_manual_run_appears_in_the_history(served: str, tmp_path: Path) -> None:
    enqueued = ask(served, tmp_path, "run", "nightly")
    assert (enqueued["schedule"], enqueued["queue"], enqueued["type"], enqueued["state"]) == (
        "nightly",
        "low",
        "report",
        "pending",
    )
    assert "task" in run(served, tmp_path, "run", "nightly")
    events = ask(served, tmp_path, "history", "nightly")
    assert len(events) == 2
    assert events[1]["task_id"] == enqueued["task"]
    titles, *rows = run(served, tmp_path, "history", "nightly", "--size", "1").splitlines()
    assert titles.split() == ["task", "enqueued", "at"]
    assert [row.split()[0] for row in rows] == [events[0]["task_id"]]
    assert ask(served, tmp_path, "history", "nightly", "--offset", "2") == []


def test_next_times(served: str, tmp_path: Path) -> None:
    times = ask(served, tmp_path, "next", "@every 1h", "--count", "3")
    assert [at % 3600 for at in times] == [0, 0, 0]
    local = run(served, tmp_path, "next", "0 9 * * *", "--zone", "Europe/Berlin", "-n", "1")
    assert " 09:00:00 +0" in local
    assert " UTC" in local
    assert ask(served, tmp_path, "next", "nightly") == []
    assert ask(served, tmp_path, "next", "TZ=Asia/Tokyo 0 0 30 2 *") == []


def test_unknown_schedules_and_invalid_specs(served: str, tmp_path: Path) -> None:
    for verb in ("run", "pause", "resume", "reset", "next"):
        assert "no schedule entry 'x'" in run(served, tmp_path, verb, "x", status=4)
    assert "must be five fields" in run(served, tmp_path, "next", "* * *", status=2)


def test_an_empty_list_hints_how_to_start_a_scheduler(url: str, tmp_path: Path) -> None:
    assert ask(url, tmp_path, "ls") == []
    done = asynqio("cron", "ls", "--broker", url, cwd=tmp_path)
    assert "cron serve" in done.stderr


def test_serve_fires_without_a_worker(url: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    with command("cron", "serve", "shop:app", "--broker", url, cwd=tmp_path) as served:
        served.line("scheduler started")
        while not (events := ask(url, tmp_path, "history", "tick")):
            pass  # fires at the next full second
        assert events[0]["schedule_id"] == "tick"
        served.signal(signal.SIGTERM)
        assert served.end() == 0
        assert ask(url, tmp_path, "ls") == []


def test_a_worker_fires_schedules_unless_disabled(url: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    work = ("worker", "shop:app", "--broker", url, "--queues", "low")
    with command(*work, "--no-scheduler", cwd=tmp_path) as worker:
        worker.line("server started")
        assert ask(url, tmp_path, "ls") == []
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
    with command(*work, cwd=tmp_path) as worker:
        worker.line("server started")
        assert [schedule["id"] for schedule in ask(url, tmp_path, "ls")] == ["yearly", "tick"]
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


def test_an_app_without_schedules_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("from asynqio import App\napp = App('memory://')\n")
    done = asynqio("cron", "serve", "bare:app", cwd=tmp_path)
    assert (done.returncode, "has no schedules" in done.stderr) == (2, True)
