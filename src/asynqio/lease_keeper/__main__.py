"""Watches the server for ticks, without importing what renews leases."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from asynqio.runtime.leases.keeper_pipe import QUIT, READY
from asynqio.runtime.parent import Parent

#: With a shorter timeout, in seconds, everything is imported at the start: the leases could expire meanwhile.
LAZY_FROM = 2.5
#: Seconds between two checks of the server's life while its first line is missing.
LINE_INTERVAL = 1.0
#: Bytes to read at once.
READ_SIZE = 4096


class _Input:
    """Standard input, and the life of the server that writes to it."""

    def __init__(self, server: Parent, number: int) -> None:
        self._server = server
        self._number = number
        self._poll = select.poll()
        self._poll.register(number, select.POLLIN)
        if server.descriptor is not None:
            self._poll.register(server.descriptor, select.POLLIN)

    def read(self, timeout: float) -> bytes | None:
        """What has arrived within `timeout` seconds: nothing if the server has died, None if it was silent."""
        if self._server.alive and not self._poll.poll(timeout * 1000):
            return None
        return os.read(self._number, READ_SIZE) if self._server.alive else b""

    def read_line(self) -> tuple[bytes, bytes]:
        """The first line, and what has arrived after it. Both are empty if the server has died."""
        line = b""
        while b"\n" not in line:
            received = self.read(LINE_INTERVAL)
            if received == b"":
                return b"", b""
            line += received or b""
        first, _, rest = line.partition(b"\n")
        return first, rest


def keep(server: Parent, timeout: float, number: int, output: int) -> None:
    """Watch for ticks on the descriptor `number`, until QUIT or the server's death. Writes READY to `output`."""
    input = _Input(server, number)
    job, rest = input.read_line()
    if not job or QUIT in rest:
        return
    try:
        os.write(output, READY)  # the server waits for this before its first fetch
    except BrokenPipeError:
        return  # the server has died
    while True:
        ticked_at = time.monotonic()
        received = input.read(timeout)
        if received is None:
            # Imported only when it is needed: the process takes 10 MB without it, 33 MB with it.
            from asynqio.lease_keeper.standing_in import stand_in

            received = stand_in(job, server, number, ticked_at)
        if not received or QUIT in received:
            return


def main() -> None:
    """Watch the server. The arguments are its process id, and the seconds without a tick after which it counts as
    frozen."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server, timeout = Parent(int(sys.argv[1])), float(sys.argv[2])
    if timeout < LAZY_FROM:
        import asynqio.lease_keeper.standing_in  # noqa: F401
    keep(server, timeout, sys.stdin.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()
