"""Runs compilers, whose first run on a machine takes minutes, so that their progress is seen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

Say = Callable[[str], None]


def to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def to_terminal(config: pytest.Config) -> Say:
    """Print past the capture of a test run."""
    capture = config.pluginmanager.getplugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", end="", file=sys.stderr, flush=True)

    return say


@contextlib.contextmanager
def locked(folder: Path, what: str, say: Say) -> Iterator[None]:
    """Prevent concurrent builds in this folder. The lock ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process builds the {what}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def follow(*command: str, cwd: Path, say: Say, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and forward its standard error; return that if it failed, else an empty text."""
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            say(line.rstrip())
    return "".join(lines[-40:]) or f"status {process.returncode}" if process.returncode else ""
