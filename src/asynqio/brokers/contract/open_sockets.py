"""The open sockets of all connections, to close those that their event loop cannot close."""

from __future__ import annotations

import asyncio
import socket
import threading
from weakref import WeakKeyDictionary

from asynqio.brokers.contract.processes import reset_after_fork


class OpenSockets:
    """Remembers the event loop of each socket. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loops: WeakKeyDictionary[socket.socket, asyncio.AbstractEventLoop] = WeakKeyDictionary()
        reset_after_fork(self)

    def add(self, sock: socket.socket) -> None:
        """Remember a socket of the running event loop until it is garbage."""
        with self._lock:
            self._loops[sock] = asyncio.get_running_loop()

    def close_abandoned(self) -> None:
        """Close the sockets of event loops that were closed before their connections."""
        with self._lock:
            abandoned = [sock for sock, loop in self._loops.items() if loop.is_closed()]
        for sock in abandoned:
            sock.close()

    def _after_fork(self) -> None:
        """Close the copies of the parent's sockets. Nothing is sent, so the parent's connections stay up."""
        self._lock = threading.Lock()
        for sock in self._loops:
            sock.close()
        self._loops = WeakKeyDictionary()


OPEN_SOCKETS = OpenSockets()
