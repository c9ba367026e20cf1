"""The death of a parent process, with and without process descriptors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from asynqio.runtime import parent
from asynqio.runtime.parent import Parent

#: Starts the program after its own id, and waits until it is killed.
STARTER = """
import os, subprocess, sys
process = subprocess.Popen([*sys.argv[1:], str(os.getpid())])
process.wait()
"""
#: Watches the process whose id is its last argument. Its standard input is a pipe that does not end.
WATCHER = """
import os, sys
from asynqio.runtime import parent
if "poll" in sys.argv:
    del os.pidfd_open
    parent.POLL_INTERVAL = 0.01
watched = parent.Parent(int(sys.argv[-1]))
print(watched.alive, flush=True)
watched.wait()
print(watched.alive, flush=True)
"""
SHELL = ["sh", "-c", '"$0" "$@"; true']


@pytest.fixture
def ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no process descriptors")
@pytest.mark.parametrize("wrapper", [[], SHELL], ids=["direct", "through a shell"])
@pytest.mark.parametrize("how", ["descriptor", "poll"])
def test_a_killed_parent_is_noticed(how: str, wrapper: list[str]) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, *wrapper, sys.executable, "-c", WATCHER, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "True\n"
    starter.kill()
    starter.wait()
    assert starter.stdout.readline() == "False\n"
    starter.communicate()


def test_the_parent_of_this_process_is_alive() -> None:
    assert Parent(os.getppid()).alive


def test_without_descriptors_the_parent_of_this_process_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "_open", lambda pid: None)
    assert Parent(os.getppid()).alive


def test_a_process_that_has_ended_is_not_alive(ended: int) -> None:
    watched = Parent(ended)
    assert not watched.alive
    watched.wait()  # returns


def test_a_process_that_was_not_reaped_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # ends with the process
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not Parent(process.pid).alive
    process.communicate()


def test_a_younger_process_has_only_inherited_the_id(running: subprocess.Popen[bytes]) -> None:
    assert not Parent(running.pid).alive
