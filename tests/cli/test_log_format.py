"""`--log-format` of the long-running commands."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.cli.support.command import Command, asynqio, command

APP = """
from asynqio import App
app = App("memory://")

@app.cron("@every 1h")
@app.task("tick")
async def tick() -> None: ...
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def stop(running: Command) -> list[str]:
    """Stop the command. Returns its output."""
    running.signal(signal.SIGTERM)
    assert running.end() == 0
    return running.seen


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_worker_logs_json(shop: Path, processes: str) -> None:
    with command("worker", "shop:app", "-p", processes, "--log-format", "json", cwd=shop) as worker:
        worker.lines("server started", int(processes))
        lines = [json.loads(line) for line in stop(worker)]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    [warning] = {line["message"] for line in lines if line.get("event") == "broker_not_durable"}
    assert warning.startswith("memory://")
    if processes == "2":
        started = [line for line in lines if line.get("event") == "worker_started"]
        assert sorted(line["worker"] for line in started) == [1, 2]


def test_a_scheduler_logs_json(shop: Path) -> None:
    with command("cron", "serve", "shop:app", "--log-format", "json", cwd=shop) as scheduler:
        scheduler.line("scheduler started")
        assert all(json.loads(line)["level"] for line in stop(scheduler))


def test_metrics_logs_json(tmp_path: Path) -> None:
    words = (
        "metrics",
        "--broker",
        "redis://127.0.0.1:1/0?patience=0.1",
        "--port",
        "0",
        "--log-format",
        "json",
    )
    with command(*words, cwd=tmp_path) as exporter:
        exporter.line("serving metrics")
        exporter.signal(signal.SIGTERM)
        assert exporter.end() == 0


def test_pretty_lines_have_fields_and_no_colour_without_a_terminal(shop: Path) -> None:
    with command("worker", "shop:app", "--log-format", "pretty", cwd=shop) as worker:
        worker.line(r"^\d\d:\d\d:\d\d WARNING asynqio.worker: .* event=broker_not_durable")
        assert not re.search("\x1b", "\n".join(stop(worker)))


def test_an_unknown_format_is_a_usage_error(shop: Path) -> None:
    done = asynqio("worker", "shop:app", "--log-format", "xml", cwd=shop)
    assert done.returncode == 2
    assert "xml" in done.stderr
