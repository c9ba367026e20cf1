"""Kill a child process when this process ends, however it ends."""

from __future__ import annotations

import subprocess


class KillOnExit:
    """Kills a process when this one ends: a shell waits until a pipe that only this process holds is closed."""

    def __init__(self, pid: int) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _ || kill -KILL "$1"', "leash", str(pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Stop watching: the process has ended, or may outlive this one."""
        self._shell.communicate(b"\n")
