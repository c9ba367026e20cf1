"""`asynqio` as process 1 of a container: it reaps orphans and forwards signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support.command import TIMEOUT, Command, command, environment

#: Orphans come to this process, as they come to process 1; the child makes some, and waits until they are reaped.
PROGRAM = """
import ctypes, os, signal, subprocess, sys, time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
from asynqio.cli.init_process import run_as_init

run_as_init()
init = os.getppid()
for _ in range(3):
    subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)

def orphans():
    return [pid for pid in Path(f"/proc/{init}/task/{init}/children").read_text().split() if int(pid) != os.getpid()]

print("orphans", len(orphans()), flush=True)
while orphans():
    time.sleep(0.01)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
print("reaped", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 3), (signal.SIGUSR1, 128 + signal.SIGUSR1)], ids=["TERM", "USR1"]
)
def test_an_init_reaps_orphans_and_exits_as_its_child(number: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env=environment()
    ) as init:
        assert init.stdout is not None
        try:
            assert init.stdout.readline().startswith("orphans")
            assert init.stdout.readline() == "reaped\n"
            init.send_signal(number)
            assert init.wait(TIMEOUT) == status
        finally:
            init.kill()


#: Its task leaves orphans behind, and waits until no process of the container is a zombie.
APP = """
import contextlib, subprocess, time
from pathlib import Path
from asynqio import App

app = App("sqlite:///tasks.db")

def zombies():
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found.append(stat.read_text().rpartition(") ")[2][0])
        except OSError:
            pass
    return found.count("Z")

@app.task("orphans")
def orphans():
    for _ in range(3):
        subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)
    time.sleep(0.2)  # until they have ended
    while zombies():
        time.sleep(0.01)
    print("no zombies", flush=True)

@app.lifespan
@contextlib.asynccontextmanager
async def lifespan():
    await orphans.enqueue()
    yield {}
    print("lifespan over", flush=True)
"""
#: Runs a command as process 1.
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def test_a_worker_as_process_1_reaps_orphans_and_stops_by_term(tmp_path: Path) -> None:
    if subprocess.run([*CONTAINER, "true"], capture_output=True).returncode:
        pytest.skip("this user may not make process namespaces")
    (tmp_path / "orphans.py").write_text(APP)
    with command("worker", "orphans:app", cwd=tmp_path, prefix=CONTAINER) as container:
        container.line("no zombies")
        process_1 = _child(container)
        subprocess.run(["kill", "-TERM", str(process_1)], check=True)
        assert container.end() == 0
        assert "lifespan over" in container.text


def _child(container: Command) -> int:
    pid = container.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
