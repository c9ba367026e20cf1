"""Help, version, and what is said when something is wrong."""

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
  --version   Print the version and exit.
  --debug     Show tracebacks.
  -h, --help  Show this message and exit.

Commands:
  stats    Show how many tasks there are, where, and how many failed today.
  worker   Run the tasks of an App.
  metrics  Serve the figures of all queues and servers to Prometheus,...
  version  Print the versions of asynqio and of what it stands on.
  explain  Say what happened to a task, why it is where it is, and what...
  doctor   Look for what is wrong with the store, the queues and the...
  demo     See it work: a worker and a stream of realistic tasks, live.
  config   Look at the configuration.
  queue    Queues: figures, history, pause, remove.
  task     Tasks: find, run, archive, delete, cancel, enqueue, edit.
  group    Groups of tasks that wait to be aggregated.
  cron     Schedules: look at them, and act on them.
  server   Worker servers, and what they are running.
"""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_the_help_names_the_commands(tmp_path: Path, arguments: list[str]) -> None:
    done = asynqio(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == HELP.strip()


def test_the_time_of_the_help_is_noted(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        asynqio("--help", cwd=tmp_path)
        times.append(time.perf_counter() - began)
    record_property("help_milliseconds", round(min(times) * 1e3))


def test_the_help_of_the_worker_names_its_options(tmp_path: Path) -> None:
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
def test_wrong_usage_is_status_2(tmp_path: Path, arguments: list[str]) -> None:
    done = asynqio(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_typer_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no', name='typer')")
    done = asynqio("version", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr == "asynqio: the command line needs typer and rich: pip install 'asynqio[cli]'\n"


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    for arguments in (["--debug", "worker", "nowhere:app"], ["worker", "nowhere:app", "--debug"]):
        done = asynqio(*arguments, cwd=tmp_path)
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        assert "there is no module 'nowhere'" in done.stderr


def modules_after(arguments: list[str], cwd: Path) -> set[str]:
    """What is loaded when the command has ended."""
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
