"""A command under test: a real process whose output is awaited line by line."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

#: Seconds to wait for a line or for the end of a process.
TIMEOUT = 40.0


class Command:
    """`asynqio …` in its own session. Standard error and standard output are one stream."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.seen: list[str] = []
        self._rest = b""
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "asynqio", *arguments],
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self._output: IO[bytes] = self.process.stdout
        self.input: IO[bytes] = self.process.stdin

    def line(self, pattern: str) -> re.Match[str]:
        """The next line that contains the pattern."""
        until = time.monotonic() + TIMEOUT
        while (text := self._next(until)) is not None:
            if found := re.search(pattern, text):
                return found
        raise AssertionError(f"no line with {pattern!r}:\n" + "\n".join(self.seen))

    def lines(self, pattern: str, count: int) -> list[re.Match[str]]:
        return [self.line(pattern) for _ in range(count)]

    def send_line(self, text: str) -> None:
        self.input.write(f"{text}\n".encode())
        self.input.flush()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Read the rest of the output. Returns the exit status."""
        until = time.monotonic() + TIMEOUT
        while self._next(until) is not None:
            pass
        return self.process.wait(max(until - time.monotonic(), 1.0))

    @property
    def text(self) -> str:
        return "\n".join(self.seen)

    def close(self) -> None:
        """Kill every process of the session."""
        for pid in self.descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        self._output.close()

    def survivors(self) -> list[int]:
        """The processes of its session that have not ended within five seconds."""
        left = []
        for pid in self.descendants():
            with contextlib.suppress(ProcessLookupError):
                watched = os.pidfd_open(pid)
                ended, _, _ = select.select([watched], [], [], 5.0)
                os.close(watched)
                if not ended:
                    left.append(pid)
        return left

    def descendants(self) -> list[int]:
        """The running processes of its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, fields = stat.read_text().partition(" (")
                state, _, _, session = fields.rpartition(") ")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z":
                    found.append(int(pid))
        return found

    def _next(self, until: float) -> str | None:
        """The next line; None at the end of the output."""
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._output], [], [], max(until - time.monotonic(), 0))
            if not ready:
                raise AssertionError("timed out waiting for output:\n" + self.text)
            chunk = os.read(self._output.fileno(), 65_536)
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        self.seen.append(line.decode(errors="replace"))
        return self.seen[-1]


@contextlib.contextmanager
def command(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Command]:
    """Run a command, as the arguments of the program `prefix`, and kill it at the end."""
    running = Command(*arguments, cwd=cwd, env=env, prefix=prefix)
    try:
        yield running
    finally:
        running.close()


def asynqio(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with separate standard output and standard error."""
    return subprocess.run(
        [sys.executable, "-m", "asynqio", *arguments],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process without settings of asynqio, and with unbuffered output."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ASYNQIO_")}
    return {**plain, "PYTHONUNBUFFERED": "1", "COLUMNS": "100", "NO_COLOR": "1", **(extra or {})}
