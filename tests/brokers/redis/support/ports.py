"""Free ports of this machine."""

from __future__ import annotations

import random
import socket

#: Below the ephemeral ports of Linux and macOS, so that a killed server finds its port free again.
PORTS = range(12_000, 32_000)


def free_port() -> int:
    """A port that was free a moment ago. If it is taken by now, ask for another one."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
