"""`asynqio worker` as one process."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.cli.support.command import command

STARTED = "server started"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_tasks_and_stops_after_them(app_dir: Path, number: signal.Signals) -> None:
    with command("worker", "talker:app", cwd=app_dir) as worker:
        worker.line("memory:// keeps tasks in this process only")
        worker.line(STARTED)
        worker.send_line("0.3 one")
        worker.line("begins one")
        worker.signal(number)
        worker.line("ended one")
        assert worker.end() == 0
        assert "returned to their queues" not in worker.text


def test_a_second_int_does_not_wait_but_a_second_term_does(app_dir: Path) -> None:
    with command("worker", "talker:app", "--shutdown-timeout", "60", cwd=app_dir) as worker:
        worker.line(STARTED)
        worker.send_line("1 short")
        worker.line("begins short")
        worker.signal(signal.SIGTERM)
        worker.line("server is shutting down: handlers have 60 s to finish")
        worker.signal(signal.SIGTERM)
        worker.line("ended short")
        assert worker.end() == 0
    with command("worker", "talker:app", "--shutdown-timeout", "60", cwd=app_dir) as worker:
        worker.line(STARTED)
        worker.send_line("50 long")
        worker.line("begins long")
        worker.signal(signal.SIGTERM)
        worker.line("server is shutting down: handlers have 60 s to finish")
        worker.signal(signal.SIGINT)
        worker.line("1 handlers did not finish in time: their tasks are returned to their queues")
        assert worker.end() == 0


def test_tstp_stops_fetching(app_dir: Path) -> None:
    with command("worker", "talker:app", cwd=app_dir) as worker:
        worker.line(STARTED)
        worker.send_line("0.5 before")
        worker.line("begins before")
        worker.signal(signal.SIGTSTP)
        worker.line("server stopped: it fetches no new tasks")
        worker.send_line("0 after")
        worker.line("took after")
        worker.line("ended before")
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
        assert "begins after" not in worker.text


def test_options_override_the_environment_which_overrides_the_file(app_dir: Path) -> None:
    (app_dir / "asynqio.toml").write_text(
        "[server]\nconcurrency = 3\nqueues = 'a=2,b=1'\nshutdown_timeout = 1\n"
    )
    with command("worker", "talker:app", cwd=app_dir, env={"ASYNQIO_CONCURRENCY": "4"}) as worker:
        worker.line("concurrency 4, queues a=2, b=1,")
    arguments = [
        "--concurrency",
        "5",
        "--queues",
        "c=9,d",
        "--strict",
        "--lease",
        "5",
        "--task-processes",
        "1",
    ]
    with command("worker", "talker:app", *arguments, cwd=app_dir) as worker:
        worker.line("broker memory://, concurrency 5, queues c=9, d=1, handlers for talker.nap")


def test_broker_and_log_level(app_dir: Path) -> None:
    arguments = ["--broker", "memory://elsewhere", "--log-level", "warning"]
    with command("worker", "talker:app", *arguments, cwd=app_dir) as worker:
        worker.line("memory://elsewhere keeps tasks in this process only")
        worker.send_line("0 one")
        worker.line("ended one")
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
        assert STARTED not in worker.text


def test_logging_of_the_application_is_not_changed(app_dir: Path) -> None:
    (app_dir / "logging_app.py").write_text(
        "import logging\nlogging.basicConfig(level='INFO', format='MINE %(message)s')\nfrom talker import app\n"
    )
    with command("worker", "logging_app:app", cwd=app_dir) as worker:
        worker.line("^MINE server started")


def test_a_signal_to_the_group_does_not_kill_a_starting_task_process(app_dir: Path) -> None:
    """A Ctrl-C reaches all processes of a terminal, even one that does not ignore it yet."""
    os.mkfifo(app_dir / "gate")
    (app_dir / "sitecustomize.py").write_text(
        "import sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    print('born', flush=True)\n"
        f"    open({str(app_dir / 'gate')!r}).read()\n"
    )
    (app_dir / "cpu.py").write_text(
        "import contextlib\nfrom asynqio import App\napp = App('memory://')\n"
        "@app.task('compute', run_in='process', max_retry=0)\n"
        "def compute() -> None:\n    print('computed', flush=True)\n"
        "@app.lifespan\n@contextlib.asynccontextmanager\nasync def life():\n"
        "    await compute.enqueue()\n    yield {}\n"
    )
    with command(
        "worker", "cpu:app", "--no-supervisor", cwd=app_dir, env={"PYTHONPATH": str(app_dir)}
    ) as worker:
        worker.line("born")
        os.killpg(worker.process.pid, signal.SIGINT)
        (app_dir / "gate").write_text("")
        worker.line("computed")
        assert worker.end() == 0
        assert "KeyboardInterrupt" not in worker.text
        assert not re.search("died|failed", worker.text)
