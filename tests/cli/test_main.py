"""Help, version and usage errors."""

from __future__ import annotations

import json
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asynqio import __version__
from tests.cli.support.command import asynqio, environment

HELP = """\
Usage: asynqio [OPTIONS] COMMAND [ARGS]...

  asynqio: a distributed task queue.

Options:
  --version   Print version information and exit.
  --debug     Show tracebacks.
  -h, --help  Show this message and exit.

Commands:
  worker   Run the tasks of an App.
  gateway  Serve tasks to any language, over WebSocket and HTTP.
  queue    List, inspect, pause, drain and remove queues.
  task     Find, enqueue, run, cancel, archive and delete tasks.
  group    List groups of tasks waiting to be aggregated.
  cron     List, run, pause and serve schedules.
  server   List worker servers and what they run.
  stats    Show task counts by state, and today's failures.
  explain  Explain what happened to a task and what happens next.
  doctor   Find problems, and say how to fix them.
  config   Check the configuration.
  metrics  Serve metrics to Prometheus.
  demo     Run a worker on a live stream of sample tasks.
  version  Print version information.
"""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_lists_the_commands(tmp_path: Path, arguments: list[str]) -> None:
    done = asynqio(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == HELP.strip()


def test_the_duration_of_help_is_recorded(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        asynqio("--help", cwd=tmp_path)
        times.append(time.perf_counter() - began)
    record_property("help_milliseconds", round(min(times) * 1e3))


def test_worker_help_lists_the_options(tmp_path: Path) -> None:
    text = asynqio("worker", "--help", cwd=tmp_path).stdout
    for option in [
        "--broker",
        "--processes",
        "--concurrency",
        "--queues",
        "--strict",
        "--task-processes",
        "--shutdown-timeout",
        "--lease",
        "--unknown-tasks",
        "--config",
        "--log-level",
        "--reload",
    ]:
        assert option in text


def test_help_loads_neither_rich_nor_the_runtime(tmp_path: Path) -> None:
    loaded = modules_after(["--help"], tmp_path)
    assert not {name for name in loaded if name.partition(".")[0] in ("rich", "msgspec", "watchfiles")}
    assert "asynqio.server" not in loaded


def test_version(tmp_path: Path) -> None:
    facts = json.loads(asynqio("version", "--json", cwd=tmp_path).stdout)
    assert facts["asynqio"] == __version__
    assert facts["python"] == platform.python_version()
    assert facts["sqlite"] == sqlite3.sqlite_version
    plain = asynqio("version", cwd=tmp_path).stdout
    assert asynqio("--version", cwd=tmp_path).stdout == plain
    assert plain.splitlines()[0].split() == ["asynqio", __version__]


def test_version_loads_no_broker(tmp_path: Path) -> None:
    loaded = modules_after(["version"], tmp_path)
    assert "asynqio.cli.system.version" in loaded
    assert not {name for name in loaded if name.startswith("asynqio.brokers")}


@pytest.mark.parametrize("arguments", [["frobnicate"], ["worker"], ["worker", "a:b", "--processes", "0"]])
def test_wrong_usage_exits_with_status_2(tmp_path: Path, arguments: list[str]) -> None:
    done = asynqio(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_typer_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no', name='typer')")
    done = asynqio("version", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr == "asynqio: the command line needs typer and rich: pip install 'asynqio[cli]'\n"


def test_debug_shows_the_traceback_at_any_position(tmp_path: Path) -> None:
    for arguments in (["--debug", "worker", "nowhere:app"], ["worker", "nowhere:app", "--debug"]):
        done = asynqio(*arguments, cwd=tmp_path)
        assert done.returncode == 2, "the same status as without --debug"
        assert "Traceback" in done.stderr
        assert "asynqio: there is no module 'nowhere'" in done.stderr


def modules_after(arguments: list[str], cwd: Path) -> set[str]:
    """The modules that are loaded when the command ends."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "from asynqio.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment(), capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())
