"""Free ports of this machine."""

from __future__ import annotations

import random
import socket

#: Below the ports that Linux and macOS hand out to outgoing connections, so that a server which was killed finds
#: its own port free again.
PORTS = range(12_000, 32_000)


def free_port() -> int:
    """A port that nobody listened on a moment ago. Who then finds it taken asks for another."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
