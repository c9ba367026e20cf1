"""Receives notifications of what other processes did to the file, without polling it.

A process that watches binds one datagram socket at its first watch. The thread behind it belongs to no event loop,
so a blocked loop delays no other loop. On systems without such sockets it polls the file every 20 ms.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import logging
import os
import secrets
import socket
import stat
import tempfile
import threading
from collections.abc import Callable

from asynqio.brokers.contract.signals import Signals
from asynqio.brokers.sqlite.storage import notify
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction

log = logging.getLogger("asynqio.sqlite")

#: Seconds between two polls of the file. With a socket they only guard against lost datagrams (measured: an idle
#: process spends 0.03 % of a processor on them); without one there is nothing else.
POLL_INTERVAL, POLL_INTERVAL_WITHOUT_SOCKET = 1.0, 0.02
#: This many datagrams at once may mean that the buffer was full (Linux keeps 10) and that others were lost.
NEARLY_FULL = 8
#: Longest path of a socket, in bytes (the limit is 104 or 108).
MAX_PATH = 100


class Listener:
    """Publishes what other processes did to `signals`. `post` queues a step for the writer thread."""

    def __init__(
        self, path: str, signals: Signals, post: Callable[[Callable[[Transaction], None]], None]
    ) -> None:
        self._path = path
        self._signals = signals
        self._post = post
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self._stopping = threading.Event()
        #: What we registered for: 0, notify.ENDED or notify.CHANGED.
        self._wants = 0
        #: The state of the file that the writer thread saw last: data version and last number.
        self._seen = (0, 0)
        #: The address of our socket for other processes; empty without a socket.
        self.name = ""

    def remember(self, transaction: Transaction) -> None:
        """Store the current state of the file: later changes by other processes are news."""
        self._seen = _state(transaction)

    def ensure(self) -> None:
        """Ensure that other processes notify us: a watch has been opened. Does not block."""
        with self._lock:
            wants = notify.wanted_of(self._signals)
            grown = wants > self._wants
            self._wants = max(wants, self._wants)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="asynqio-sqlite-notifications", daemon=True
                )
                self._thread.start()
            elif grown:
                self._post(self._register)

    def stop(self) -> None:
        """Ask the thread to end. Callable from any thread; does not block."""
        self._stopping.set()
        address = self._address
        if self._socket is not None and address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(b"", address)

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def _address(self) -> str:
        return os.path.join(os.path.dirname(self._path), self.name) if self.name else ""

    # --- on the listening thread ------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._socket = self._bind()
        except OSError as error:
            log.info(
                "no notification socket beside %s (%s): polling the file every %g s",
                self._path,
                error,
                POLL_INTERVAL_WITHOUT_SOCKET,
                extra={
                    "event": "notification_socket_unavailable",
                    "path": self._path,
                    "error": str(error),
                    "poll_interval": POLL_INTERVAL_WITHOUT_SOCKET,
                },
            )
        self._post(self._register)
        try:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._receive(self._socket)
            # Reached without a socket, or when the socket failed.
            while not self._stopping.wait(POLL_INTERVAL_WITHOUT_SOCKET):
                self._poll_later()
        finally:
            if self._socket is not None:
                self._socket.close()
                with contextlib.suppress(OSError):
                    os.unlink(self._address)

    def _receive(self, receiver: socket.socket) -> None:
        while not self._stopping.is_set():
            received = 0
            receiver.settimeout(POLL_INTERVAL)
            try:
                while received <= 2 * NEARLY_FULL:
                    datagram = receiver.recv(2 * notify.MAX_BYTES)
                    if self._stopping.is_set():
                        return
                    notify.receive(self._signals, datagram)
                    received += 1
                    receiver.settimeout(0)
            except BlockingIOError:
                pass  # the buffer is empty
            except TimeoutError:
                self._poll_later()
            if received >= NEARLY_FULL:
                notify.publish(self._signals, [("",)])

    def _bind(self) -> socket.socket:
        if not notify.HAS_SOCKETS:
            raise OSError("this system has no unix sockets")
        prefix = f"{self._path}-wake-"
        if len(os.fsencode(prefix)) + 24 > MAX_PATH or not _is_text(prefix):
            prefix = _private_prefix(self._path)
        _remove_dead_sockets(prefix)
        address = f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            receiver.bind(address)
        except BaseException:
            receiver.close()
            raise
        beside = os.path.dirname(address) == os.path.dirname(self._path)
        # A bare name is valid in every container that mounts the directory, at any mount point.
        self.name = os.path.basename(address) if beside else address
        return receiver

    def _poll_later(self) -> None:
        with self._lock:
            wants = notify.wanted_of(self._signals)
            if wants < self._wants:
                # Under the lock, so that a watch opened now registers after this.
                self._wants = wants
                self._post(self._register)
        self._post(self._poll)

    # --- on the writer thread ---------------------------------------------------------------------

    def _register(self, transaction: Transaction) -> None:
        if self._stopping.is_set():
            return
        if self.name:
            transaction.run(SQL.listen, name=self.name, ended=self._wants)
        # Publishes what others committed before this registration; later commits notify us.
        self._poll(transaction)

    def _poll(self, transaction: Transaction) -> None:
        seen, self._seen = self._seen, _state(transaction)
        if self._seen[0] == seen[0]:
            return
        # Without a new number no task became pending, due or grouped, and none was cancelled.
        notify.publish(self._signals, [("ended",), ("changed",)] if self._seen[1] == seen[1] else [("",)])
        if self.name and not transaction.one(SQL.is_listening, name=self.name):
            transaction.run(SQL.listen, name=self.name, ended=self._wants)

    def unregister(self, transaction: Transaction) -> None:
        """The last job: other processes stop notifying us."""
        if self.name:
            transaction.run(SQL.unlisten, name=self.name)


def _state(transaction: Transaction) -> tuple[int, int]:
    return transaction.value(SQL.data_version), transaction.value(SQL.last_number)


def _is_text(path: str) -> bool:
    """Whether a path is UTF-8, so that the table `listeners` can hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _private_prefix(path: str) -> str:
    """Where the sockets of a database are whose path is long or no text: in a directory that only this user can
    enter."""
    directory = os.path.join(tempfile.gettempdir(), f"asynqio-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OSError(f"{directory} is not a private directory of this user")
    return os.path.join(directory, hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + "-wake-")


def _remove_dead_sockets(prefix: str) -> None:
    """Remove the sockets of processes that were killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for left in glob.glob(glob.escape(prefix) + "*"):
            try:
                probe.connect(left)
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    os.unlink(left)
            except OSError:
                continue
