"""Notices the death of the parent process.

End-of-file on a pipe from the parent does not prove its death: everything that the parent forked holds the pipe's
other end as well.
"""

from __future__ import annotations

import os
import select
import time

#: Seconds between two checks where the system has no process descriptors (before Linux 5.3, macOS).
POLL_INTERVAL = 1.0


class Parent:
    """The process that started this one. `pid` is its id, as it passed it on.

    `descriptor` can be read as soon as it has died. None if the system has no process descriptors.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_direct = os.getppid() == pid  # not if a wrapper script started this process
        self.descriptor = _open(pid)
        #: Whether the id belongs to another process by now. Checked after the descriptor was opened.
        self._reused = _started_after_this_process(pid)

    @property
    def alive(self) -> bool:
        """Whether the parent still runs. A process that has ended but was not reaped does not."""
        if self._reused:
            return False
        if self.descriptor is not None:
            return not self._ended_within(0)
        if self._is_direct:
            return os.getppid() == self._pid  # an orphan gets another parent
        return _exists(self._pid)

    def wait(self) -> None:
        """Block until the parent has died."""
        while self.alive:
            if self.descriptor is not None:
                self._ended_within(None)
            else:
                time.sleep(POLL_INTERVAL)

    def _ended_within(self, milliseconds: int | None) -> bool:
        assert self.descriptor is not None
        poll = select.poll()  # select() cannot wait for a descriptor above 1023
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(milliseconds))


def _open(pid: int) -> int | None:
    """A process descriptor; None if the system has none or the process is gone."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # a container may forbid the call
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started_after_this_process(pid: int) -> bool:
    """Whether a process is younger than this one, so that it cannot be the parent. False without /proc."""
    theirs, ours = _start_time(str(pid)), _start_time("self")
    return theirs is not None and ours is not None and theirs > ours


def _start_time(pid: str) -> int | None:
    """Clock ticks from the boot of the system to the start of a process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before ")" may contain spaces
    except OSError:
        return None
    return int(fields[19])  # field 22 of the line; the first one after the name is number 3
