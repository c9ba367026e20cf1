"""A process that must not outlive the one that started it, however that one ends."""

from __future__ import annotations

import subprocess


class KillOnExit:
    """Kills a process when this one is gone: a shell waits for the end of a pipe that only we hold open."""

    def __init__(self, pid: int) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _ || kill -KILL "$1"', "leash", str(pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """The process has ended, or may go on alone."""
        self._shell.communicate(b"\n")
