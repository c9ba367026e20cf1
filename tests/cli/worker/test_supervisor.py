"""`asynqio worker --processes N`: real child processes and signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from asynqio.cli.worker.supervisor import RestartPolicy, Supervisor
from tests.cli.support.command import Command, asynqio, command, environment

STARTED = r"asynqio\.server\[(\d+)\]: server started"
QUICK = RestartPolicy(first_delay=0.001, max_delay=0.005, healthy_after=10.0, max_deaths=4)


def started(supervisor: Command, count: int) -> list[int]:
    """The process ids of the next `count` workers that are ready."""
    return [int(found[1]) for found in supervisor.lines(STARTED, count)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_workers_after_their_tasks(app_dir: Path, number: signal.Signals) -> None:
    with command("worker", "talker:app", "-p", "2", cwd=app_dir, env={"FIRST": "1"}) as supervisor:
        workers = started(supervisor, 2)
        assert len(set(workers)) == 2
        supervisor.signal(number)
        assert supervisor.end() == 0
        assert supervisor.text.count("begins first") == supervisor.text.count("ended first") == 2
        assert "returned to their queues" not in supervisor.text
        assert supervisor.text.count("lifespan over") == 2
        assert supervisor.survivors() == []


def test_a_killed_worker_is_restarted(app_dir: Path) -> None:
    with command("worker", "talker:app", "-p", "2", cwd=app_dir) as supervisor:
        one, _ = started(supervisor, 2)
        os.kill(one, signal.SIGKILL)
        supervisor.line(rf"worker \d \({one}\) was killed by SIGKILL; restarting in 0.1 s")
        [another] = started(supervisor, 1)
        os.kill(another, signal.SIGKILL)
        supervisor.line(rf"\({another}\) was killed by SIGKILL; restarting in 0.2 s")
        started(supervisor, 1)
        supervisor.signal(signal.SIGTERM)
        assert supervisor.end() == 0


def test_a_single_worker_is_restarted_too(app_dir: Path) -> None:
    with command("worker", "talker:app", cwd=app_dir) as supervisor:
        [first] = started(supervisor, 1)
        assert first != supervisor.process.pid
        os.kill(first, signal.SIGKILL)
        supervisor.line(rf"worker 1 \({first}\) was killed by SIGKILL; restarting in 0.1 s")
        [second] = started(supervisor, 1)
        supervisor.signal(signal.SIGTERM)
        assert supervisor.end() == 0
        assert second not in supervisor.survivors()


def test_a_single_worker_logs_nothing_about_its_supervisor(app_dir: Path) -> None:
    with command("worker", "talker:app", cwd=app_dir) as supervisor:
        started(supervisor, 1)
        supervisor.signal(signal.SIGTERM)
        assert supervisor.end() == 0
        assert "asynqio.supervisor" not in supervisor.text


def test_without_a_supervisor_the_command_is_the_worker(app_dir: Path) -> None:
    with command("worker", "talker:app", "--no-supervisor", cwd=app_dir) as worker:
        assert started(worker, 1) == [worker.process.pid]
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0


@pytest.mark.parametrize("arguments", [["-p", "2"], ["--reload"]])
def test_several_processes_and_reload_need_a_supervisor(app_dir: Path, arguments: list[str]) -> None:
    done = asynqio("worker", "talker:app", "--no-supervisor", *arguments, cwd=app_dir)
    assert done.returncode == 2
    assert done.stderr == "asynqio: --no-supervisor runs one process: omit --processes and --reload\n"


def test_an_int_after_a_term_abandons_running_tasks(app_dir: Path) -> None:
    arguments = ["worker", "talker:app", "-p", "2", "--shutdown-timeout", "60"]
    with command(*arguments, cwd=app_dir, env={"FIRST": "50"}) as supervisor:
        supervisor.lines("begins first", 2)
        supervisor.signal(signal.SIGTERM)
        supervisor.lines("server is shutting down", 2)
        supervisor.signal(signal.SIGINT)
        supervisor.lines("their tasks are returned to their queues", 2)
        assert supervisor.end() == 0


def test_tstp_reaches_every_worker(app_dir: Path) -> None:
    with command("worker", "talker:app", "-p", "2", cwd=app_dir) as supervisor:
        started(supervisor, 2)
        supervisor.signal(signal.SIGTSTP)
        supervisor.lines("server stopped: it fetches no new tasks", 2)
        supervisor.signal(signal.SIGCONT)
        supervisor.signal(signal.SIGTERM)
        assert supervisor.end() == 0


def test_a_second_int_abandons_running_tasks(app_dir: Path) -> None:
    arguments = ["worker", "talker:app", "-p", "2", "--shutdown-timeout", "60"]
    with command(*arguments, cwd=app_dir, env={"FIRST": "50"}) as supervisor:
        supervisor.lines("begins first", 2)
        supervisor.signal(signal.SIGINT)
        supervisor.line("press Ctrl-C again to stop now")
        supervisor.lines("server is shutting down", 2)
        supervisor.signal(signal.SIGINT)
        supervisor.lines("their tasks are returned to their queues", 2)
        assert supervisor.end() == 0


def test_workers_stop_gracefully_when_the_supervisor_is_killed(app_dir: Path) -> None:
    with command("worker", "talker:app", "-p", "2", cwd=app_dir, env={"FIRST": "0.5"}) as supervisor:
        started(supervisor, 2)
        supervisor.signal(signal.SIGKILL)
        assert supervisor.end() == -signal.SIGKILL  # the output ends when the last worker does
        assert supervisor.text.count("ended first") == 2
        assert supervisor.text.count("lifespan over") == 2
        assert supervisor.survivors() == []


def test_a_configuration_error_stops_it(app_dir: Path) -> None:
    with command("worker", "talker:ap", "-p", "2", cwd=app_dir) as supervisor:
        supervisor.line("module 'talker' has no 'ap', did you mean 'app'")
        supervisor.line(r"worker \d has a configuration error; stopping")
        assert supervisor.end() == 2
        assert "Traceback" not in supervisor.text
    with command("worker", "talker:app", "-p", "2", "--concurrency", "0", cwd=app_dir) as supervisor:
        assert supervisor.end() == 2
        assert supervisor.text == "asynqio: concurrency=0 must be a whole number, at least 1"


def test_a_changed_file_restarts_the_workers(app_dir: Path) -> None:
    with command("worker", "talker:app", "--reload", cwd=app_dir, env={"FIRST": "0.3"}) as supervisor:
        [first] = started(supervisor, 1)
        supervisor.line("begins first")
        (app_dir / "other.txt").write_text("not Python")
        (app_dir / "talker.py").write_text(
            (app_dir / "talker.py").read_text().replace('"begins"', '"changed"')
        )
        supervisor.line(r"talker\.py changed; restarting the workers")
        supervisor.line("lifespan over")
        [second] = started(supervisor, 1)
        supervisor.line("changed first")
        assert second != first
        (app_dir / "talker.py").write_text("app = (")
        supervisor.line("SyntaxError: '\\(' was never closed")
        supervisor.line("worker 1 will be restarted when a file changes")
        (app_dir / "talker.py").write_text("from asynqio import App\napp = App('memory://')")
        started(supervisor, 1)
        supervisor.signal(signal.SIGINT)
        assert supervisor.end() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_ctrl_c_of_the_terminal_counts_once(app_dir: Path, processes: int) -> None:
    """The terminal sends INT to its whole process group; no process may get it twice."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLING, "worker", "talker:app", "-p", str(processes)],
        cwd=app_dir,
        env=environment({"FIRST": "1"}),
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        start_new_session=True,
    )
    os.close(secondary)
    seen = b""
    try:
        while seen.count(b"begins first") < processes:
            seen += os.read(primary, 65_536)
        os.write(primary, b"\x03")
        with contextlib.suppress(OSError):  # the other end of the terminal is closed
            while chunk := os.read(primary, 65_536):
                seen += chunk
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(primary)
    assert seen.count(b"ended first") == processes
    assert not re.search(b"returned to their queues|KeyboardInterrupt|Aborted", seen)


#: Makes standard input the controlling terminal, as a shell would.
CONTROLLING = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from asynqio.cli.main import main
main()
"""


# --- the supervisor alone -------------------------------------------------------------------------


async def supervise(
    code: str, *, policy: RestartPolicy = QUICK, changes: AsyncIterator[Sequence[str]] | None = None
) -> int:
    """Supervise one process that executes `code`. Returns the exit status of the supervisor."""
    supervisor = Supervisor(
        [sys.executable, "-c", code],
        1,
        shutdown_timeout=0.1,
        grace=0.1,
        policy=policy,
        reloading=changes is not None,
    )
    return await asyncio.wait_for(supervisor.run(changes), 60)


async def test_a_crash_loop_stops_the_supervisor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "deaths"
    code = f"open({str(file)!r}, 'a').write('x'); raise SystemExit(3)"
    assert await supervise(code) == 1
    assert await asyncio.to_thread(file.read_text) == "x" * QUICK.max_deaths
    assert "worker 1 died 4 times in a row (it exited with status 3); stopping" in caplog.text


async def test_a_configuration_error_stops_the_supervisor_at_once(tmp_path: Path) -> None:
    file = tmp_path / "deaths"
    assert await supervise(f"open({str(file)!r}, 'a').write('x'); raise SystemExit(2)") == 2
    assert await asyncio.to_thread(file.read_text) == "x"


async def test_long_runs_are_no_crash_loop(tmp_path: Path) -> None:
    """Every run counts as long here, so it restarts beyond the limit, until a configuration error."""
    file = tmp_path / "deaths"
    code = (
        f"file = open({str(file)!r}, 'a+'); file.write('x'); file.seek(0)\n"
        "raise SystemExit(2 if len(file.read()) == 7 else 3)"
    )
    assert await supervise(code, policy=QUICK._replace(healthy_after=0.0)) == 2
    assert await asyncio.to_thread(file.read_text) == "x" * 7


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "ready")
    code = (
        "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"os.close(os.open({str(tmp_path / 'ready')!r}, os.O_WRONLY))\nsignal.pause()\n"
    )
    running = asyncio.create_task(supervise(code))
    await asyncio.to_thread((tmp_path / "ready").read_bytes)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 1
    assert "was killed by SIGKILL during shutdown" in caplog.text


async def test_reloading_never_stops_restarting(tmp_path: Path) -> None:
    """A change ends the restart delay early, whatever the last exit status."""
    file, changes = tmp_path / "deaths", asyncio.Queue[list[str]]()
    for name in ("ready", "again"):
        os.mkfifo(tmp_path / name)
    code = (
        "import os, signal\n"
        f"file = open({str(file)!r}, 'a+'); file.write('x'); file.flush(); file.seek(0)\n"
        "runs = len(file.read())\n"
        "if runs < 3:\n    raise SystemExit(3)\n"
        f"open({str(tmp_path)!r} + ('/ready' if runs == 3 else '/again'), 'w').close()\n"
        "if runs == 3:\n    raise SystemExit(2)\n"
        "signal.pause()\n"
    )

    async def changing() -> AsyncIterator[Sequence[str]]:
        while True:
            yield await changes.get()

    running = asyncio.create_task(supervise(code, changes=changing()))
    await asyncio.to_thread((tmp_path / "ready").read_bytes)
    await changes.put(["tasks.py"])
    again = asyncio.create_task(asyncio.to_thread((tmp_path / "again").read_bytes))
    while not again.done():  # a change before the child has died needs another one
        await asyncio.wait([again], timeout=1)
        await changes.put(["tasks.py"])
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0


def test_restart_delays() -> None:
    delays = [RestartPolicy().delay(deaths) for deaths in range(1, 12)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-2:] == [30.0, 30.0]
