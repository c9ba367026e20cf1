"""`asynqio cron`: what each command prints, for people and for scripts, on real stores."""

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

#: A schedule that fires at times that do not depend on today.
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
ID      SPEC       ZONE           TYPE    QUEUE    NEXT  PREVIOUS                 STATE   OPTIONS
gone    0 0 30 2 * UTC            gone    default                                 active
nightly 0 0 30 2 * Europe/Berlin  report  low                                     paused  Queue("low") Timeout(1m30s)
"""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return broker_url(request.param, tmp_path)


def run(url: str, folder: Path, *arguments: str, status: int = 0) -> str:
    """What `asynqio cron …` prints."""
    done = asynqio("cron", *arguments, cwd=folder, env={"ASYNQIO_BROKER": url})
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout


def ask(url: str, folder: Path, *arguments: str) -> Any:
    """What it prints for scripts."""
    return json.loads(run(url, folder, *arguments, "--json"))


@contextlib.asynccontextmanager
async def _serving(url: str) -> AsyncIterator[None]:
    entries = [
        # Two that never fire by themselves: the 30th of February.
        ScheduleEntry(
            "0 0 30 2 *", Task("report", b"{}"), name="nightly", zone="Europe/Berlin", queue="low", timeout=90
        ),
        ScheduleEntry("0 0 30 2 *", Task("gone"), name="gone"),
    ]
    async with open_broker(url) as store, Scheduler(store, entries=entries):
        yield


@pytest.fixture
def served(url: str) -> Iterator[str]:
    """A store whose schedules somebody serves."""
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
    assert run(served, tmp_path, "pause", "nightly") == "nightly is paused\n"
    assert run(served, tmp_path, "pause", "nightly") == "nightly was paused already\n"
    assert ask(served, tmp_path, "resume", "nightly") == {
        "schedule": "nightly",
        "paused": False,
        "changed": True,
    }
    assert run(served, tmp_path, "resume", "nightly") == "nightly was active already\n"
    assert run(served, tmp_path, "reset", "nightly") == "nightly starts anew\n"
    assert ask(served, tmp_path, "reset", "gone") == {"schedule": "gone", "reset": True}


def test_a_schedule_is_run_by_hand_and_leaves_a_trace(served: str, tmp_path: Path) -> None:
    put_in = ask(served, tmp_path, "run", "nightly")
    assert (put_in["schedule"], put_in["queue"], put_in["type"], put_in["state"]) == (
        "nightly",
        "low",
        "report",
        "pending",
    )
    assert "task" in run(served, tmp_path, "run", "nightly")
    events = ask(served, tmp_path, "history", "nightly")
    assert len(events) == 2
    assert events[1]["task_id"] == put_in["task"]
    titles, *rows = run(served, tmp_path, "history", "nightly", "--size", "1").splitlines()
    assert titles.split() == ["TASK", "PUT", "IN", "AT"]
    assert [row.split()[0] for row in rows] == [events[0]["task_id"]]
    assert ask(served, tmp_path, "history", "nightly", "--offset", "2") == []


def test_what_fires_next_is_printed(served: str, tmp_path: Path) -> None:
    times = ask(served, tmp_path, "next", "@every 1h", "--count", "3")
    assert [at % 3600 for at in times] == [0, 0, 0]
    local = run(served, tmp_path, "next", "0 9 * * *", "--zone", "Europe/Berlin", "-n", "1")
    assert " 09:00:00 +0" in local
    assert " UTC" in local
    assert ask(served, tmp_path, "next", "nightly") == []
    assert ask(served, tmp_path, "next", "TZ=Asia/Tokyo 0 0 30 2 *") == []


def test_what_is_not_there_is_said(served: str, tmp_path: Path) -> None:
    for verb in ("run", "pause", "resume", "reset", "next"):
        assert "no schedule entry 'x'" in run(served, tmp_path, verb, "x", status=4)
    assert "must be five fields" in run(served, tmp_path, "next", "* * *", status=2)


def test_an_empty_list_says_where_schedulers_come_from(url: str, tmp_path: Path) -> None:
    assert ask(url, tmp_path, "ls") == []
    done = asynqio("cron", "ls", "--broker", url, cwd=tmp_path)
    assert "cron serve" in done.stderr


def test_serve_fires_without_working(url: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    with command("cron", "serve", "shop:app", "--broker", url, cwd=tmp_path) as served:
        served.line("scheduler started")
        while not (events := ask(url, tmp_path, "history", "tick")):
            pass  # the next full second brings one
        assert events[0]["schedule_id"] == "tick"
        served.signal(signal.SIGTERM)
        assert served.end() == 0
        assert ask(url, tmp_path, "ls") == []


def test_a_worker_fires_unless_told_otherwise(url: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    work = ("worker", "shop:app", "--broker", url, "--queues", "low")
    with command(*work, "--no-scheduler", cwd=tmp_path) as worker:
        worker.line("server started")
        assert ask(url, tmp_path, "ls") == []
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
    with command(*work, cwd=tmp_path) as worker:
        worker.line("server started")
        assert [card["id"] for card in ask(url, tmp_path, "ls")] == ["yearly", "tick"]
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


def test_an_app_without_schedules_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("from asynqio import App\napp = App('memory://')\n")
    done = asynqio("cron", "serve", "bare:app", cwd=tmp_path)
    assert (done.returncode, "has no schedules" in done.stderr) == (2, True)
