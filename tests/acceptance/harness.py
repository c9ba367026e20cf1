"""Starting worker and producer processes, waiting for what they say, killing them, and counting."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from asynqio import ServerInfo
from asynqio.sync import Client, Inspector
from tests.acceptance import journal
from tests.acceptance.places import Place
from tests.until import until as until

ROOT = Path(__file__).parents[2]

#: How many tasks the big tests run; 20,000 is the size that the project promises.
TASKS = int(os.environ.get("ASYNQIO_CRASH_TASKS", "4000"))
#: How long handlers block, under which lease; 60 and 5 are what the project promises.
BUSY = int(os.environ.get("ASYNQIO_CRASH_BUSY", "8"))
LEASE = float(os.environ.get("ASYNQIO_CRASH_LEASE", "2"))


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for children in lists for child in children.read_text().split()]
    return [child for child in found if Path(f"/proc/{child}/cmdline").read_bytes()]


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found = children(pid)
    return [*found, *(further for child in found for further in descendants(child))]


class Process:
    """One of our programs, in a process group of its own, and what it has said so far."""

    def __init__(self, module: str, options: dict[str, Any], environment: dict[str, str]) -> None:
        self.log: list[str] = []
        self._news = threading.Condition()
        self._popen = subprocess.Popen(
            [sys.executable, "-m", f"tests.acceptance.{module}", msgspec.json.encode(options).decode()],
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self._listening = threading.Thread(target=self._listen, name=f"log of {module} {self.pid}")
        self._listening.start()

    def _listen(self) -> None:
        assert self._popen.stderr is not None
        with self._popen.stderr as lines:
            for line in lines:
                with self._news:
                    self.log.append(line.rstrip("\n"))
                    self._news.notify_all()

    def says(self, text: str) -> bool:
        """Whether it has said this already."""
        with self._news:
            return any(text in line for line in self.log)

    def wait_to_say(self, text: str, timeout: float = 30.0) -> None:
        with self._news:
            if not self._news.wait_for(lambda: any(text in line for line in self.log), timeout):
                shown = "\n".join(self.log[-40:])
                raise AssertionError(f"process {self.pid} did not say {text!r} in {timeout:.0f} s:\n{shown}")

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, or to its helpers (keeper, task processes) too."""
        helpers = descendants(self.pid) if group else []
        for pid in (self.pid, *helpers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, timeout: float = 30.0) -> int:
        """Until it has ended: its exit status."""
        return self._popen.wait(timeout)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """The polite way."""
        self.signal(signal.SIGTERM)
        self.wait()

    def close(self) -> None:
        self.signal(signal.SIGKILL, group=True)
        self.wait()
        self._listening.join(10)


class Stage:
    """One store, one journal, and everything that runs on them."""

    def __init__(self, place: Place, directory: Path) -> None:
        self.place = place
        self.url = place.url
        self.journal = journal.Journal(directory / "journal")
        self.client = Client(self.url).open()
        self.inspector = Inspector(self.url)
        self.inspector.open()
        self._processes: list[Process] = []

    def start(self, module: str, **options: Any) -> Process:
        environment = {"ASYNQIO_BROKER": self.url, journal.DIRECTORY: str(self.journal.directory)}
        process = Process(module, options, environment)
        self._processes.append(process)
        return process

    def worker(self, *, ready: bool = True, **options: Any) -> Process:
        """A worker that has started, or (`ready=False`) is about to."""
        worker = self.start("worker", **options)
        if ready:
            worker.wait_to_say("server started")
        return worker

    def stats(self) -> Any:
        """The figures of the queue."""
        return self.inspector.queue("default")

    def leased_by(self, pid: int) -> int:
        """How many tasks a process holds, alive or not."""
        return sum(f":{pid}:" in owner for owner in self.place.owners())

    def last_card(self, worker: Process) -> ServerInfo:
        """What a worker that was terminated said at the end."""
        return msgspec.json.decode(
            (self.journal.directory / f"{worker.pid}.card").read_bytes(), type=ServerInfo
        )

    def everything_said(self) -> str:
        return "\n".join(line for process in self._processes for line in process.log)

    def close(self) -> None:
        for process in self._processes:
            process.close()
        self.inspector.close()
        self.client.close()
