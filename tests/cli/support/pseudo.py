"""A command on a terminal of its own, with somebody who types."""

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


def _sit_down() -> None:
    """In the new process: this terminal is the one whose Ctrl-C counts, also if pytest runs in the background."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Screen:
    """What a command prints on a terminal, and its keyboard."""

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
            preexec_fn=_sit_down,
        )
        os.close(theirs)
        self.text = ""

    def until(self, text: str) -> str:
        """Everything up to this text, which must come."""
        while text not in self.text:
            assert self._more(), f"{text!r} never came: {self.text!r}"
        return self.text

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        """The exit status, when everything was read."""
        while self._more():
            pass
        return self.process.wait(TIMEOUT)

    def _more(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], TIMEOUT)
        assert ready, f"nothing more came in time: {self.text!r}"
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
def screen(*words: str, cwd: Path, env: Mapping[str, str]) -> Iterator[Screen]:
    """Run it, and leave nothing behind."""
    running = Screen(*words, cwd=cwd, env=env)
    try:
        yield running
    finally:
        running.close()
