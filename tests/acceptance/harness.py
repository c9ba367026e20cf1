"""Starts, kills and watches worker and producer processes."""

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
from tests.acceptance import execution_log
from tests.acceptance.stores import StoreProbe
from tests.until import until as until

ROOT = Path(__file__).parents[2]

#: Tasks of the large tests; the full size is 20,000.
TASKS = int(os.environ.get("ASYNQIO_CRASH_TASKS", "4000"))
#: Seconds for which handlers block, and the lease; the full sizes are 60 and 5.
BUSY = int(os.environ.get("ASYNQIO_CRASH_BUSY", "8"))
LEASE = float(os.environ.get("ASYNQIO_CRASH_LEASE", "2"))


def children(pid: int) -> list[int]:
    """The running child processes of a process."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    found = [int(child) for children in lists for child in children.read_text().split()]
    return [child for child in found if Path(f"/proc/{child}/cmdline").read_bytes()]


def descendants(pid: int) -> list[int]:
    """The running descendants of a process."""
    found = children(pid)
    return [*found, *(further for child in found for further in descendants(child))]


class Process:
    """A program in a separate process group, and its log."""

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

    def logged(self, text: str) -> bool:
        """Whether a line of the log contains this text."""
        with self._news:
            return any(text in line for line in self.log)

    def wait_for_log(self, text: str, timeout: float = 30.0) -> None:
        with self._news:
            if not self._news.wait_for(lambda: any(text in line for line in self.log), timeout):
                shown = "\n".join(self.log[-40:])
                raise AssertionError(f"process {self.pid} did not log {text!r} in {timeout:.0f} s:\n{shown}")

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the process, with `group` also to its lease keeper and task processes."""
        helpers = descendants(self.pid) if group else []
        for pid in (self.pid, *helpers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end; return the exit status."""
        return self._popen.wait(timeout)

    def kill(self) -> None:
        """Kill with SIGKILL."""
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """Terminate with SIGTERM."""
        self.signal(signal.SIGTERM)
        self.wait()

    def close(self) -> None:
        self.signal(signal.SIGKILL, group=True)
        self.wait()
        self._listening.join(10)


class Deployment:
    """A store, an execution log, and the processes that use them."""

    def __init__(self, store: StoreProbe, directory: Path) -> None:
        self.store = store
        self.url = store.url
        self.executions = execution_log.ExecutionLog(directory / "executions")
        self.client = Client(self.url).open()
        self.inspector = Inspector(self.url)
        self.inspector.open()
        self._processes: list[Process] = []

    def start(self, module: str, **options: Any) -> Process:
        environment = {"ASYNQIO_BROKER": self.url, execution_log.DIRECTORY: str(self.executions.directory)}
        process = Process(module, options, environment)
        self._processes.append(process)
        return process

    def worker(self, *, ready: bool = True, **options: Any) -> Process:
        """Start a worker; wait until it is ready unless `ready=False`."""
        worker = self.start("worker", **options)
        if ready:
            worker.wait_for_log("server started")
        return worker

    def stats(self) -> Any:
        """The statistics of the queue."""
        return self.inspector.queue("default")

    def leased_by(self, pid: int) -> int:
        """The number of tasks leased by a process, alive or dead."""
        return sum(f":{pid}:" in owner for owner in self.store.owners())

    def final_info(self, worker: Process) -> ServerInfo:
        """The last info of a terminated worker."""
        return msgspec.json.decode(
            (self.executions.directory / f"{worker.pid}.info").read_bytes(), type=ServerInfo
        )

    def all_logs(self) -> str:
        return "\n".join(line for process in self._processes for line in process.log)

    def close(self) -> None:
        for process in self._processes:
            process.close()
        self.inspector.close()
        self.client.close()
