"""A command on a pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cli.support.command import TIMEOUT, environment


def _make_controlling() -> None:
    """In the new process: make this the controlling terminal, so that its Ctrl-C sends INT. pytest may run in the
    background with INT ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """The output of a command on a terminal, and its keyboard."""

    def __init__(self, *words: str, cwd: Path, env: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        plain = environment(env)
        for name in ("COLUMNS", *({"NO_COLOR"} - env.keys())):
            plain.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asynqio", *words],
            cwd=cwd,
            env={**plain, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_make_controlling,
        )
        os.close(theirs)
        self.text = ""

    def until(self, text: str) -> str:
        """Read until `text` appears. Returns everything read so far."""
        while text not in self.text:
            assert self.read(), f"{text!r} did not appear: {self.text!r}"
        return self.text

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        """Read the rest of the output. Returns the exit status."""
        while self.read():
            pass
        return self.process.wait(TIMEOUT)

    def read(self) -> bool:
        """Read what is available, waiting for it. False at the end of the output."""
        ready, _, _ = select.select([self._ours], [], [], TIMEOUT)
        assert ready, f"timed out waiting for output: {self.text!r}"
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # the other end is closed
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@contextlib.contextmanager
def terminal(*words: str, cwd: Path, env: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a command and kill it at the end."""
    running = Terminal(*words, cwd=cwd, env=env)
    try:
        yield running
    finally:
        running.close()
