"""Hearing what other processes did to the file, without asking it all the time.

One datagram socket per process that watches, bound at the first watch. The thread behind it belongs to no
event loop, so a blocked loop delays nobody else. Where there are no such sockets it looks every 20 ms.
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
from asynqio.brokers.sqlite.storage import notify as hints
from asynqio.brokers.sqlite.storage.statements import QUERIES
from asynqio.brokers.sqlite.storage.transaction import Transaction

log = logging.getLogger("asynqio.sqlite")

#: Seconds between two looks at the file: with a socket they only guard against lost hints (measured: an idle
#: process spends 0.03 % of a processor on them), without one they are all there is.
LOOK_EVERY, LOOK_OFTEN = 1.0, 0.02
#: So many hints at once may mean that the buffer was full (Linux keeps 10) and others were lost.
MANY = 8
#: Longest path of a socket, in bytes (the limit is 104 or 108).
LONGEST_PATH = 100


class Listener:
    """Publishes what others did to `signals`. `post` hands a step to the writer."""

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
        #: What we asked to be told of single tasks (see hints.py).
        self._wants = 0
        #: What the writer saw last: the data version, and the number taken last.
        self._seen = (0, 0)
        #: How others address us; empty without a socket.
        self.name = ""

    def remember(self, transaction: Transaction) -> None:
        """Output the state of the file: what comes later and from elsewhere is news."""
        self._seen = _state(transaction)

    def ensure(self) -> None:
        """Somebody watches now: see to it that others tell us. Does not wait."""
        with self._lock:
            wants = hints.wanted_of(self._signals)
            news = wants > self._wants
            self._wants = max(wants, self._wants)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="asynqio-sqlite-hear", daemon=True)
                self._thread.start()
            elif news:
                self._post(self._register)

    def stop(self) -> None:
        """Tell the thread to end. From any thread, does not wait."""
        self._stopping.set()
        address = self._address
        if self._socket is not None and address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as knock:
                knock.setblocking(False)
                knock.sendto(b"", address)

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
            log.info("no socket beside %s (%s): looking at the file instead", self._path, error)
        self._post(self._register)
        try:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._hear(self._socket)
            # Without a socket, or when it broke.
            while not self._stopping.wait(LOOK_OFTEN):
                self._look_later()
        finally:
            if self._socket is not None:
                self._socket.close()
                with contextlib.suppress(OSError):
                    os.unlink(self._address)

    def _hear(self, ear: socket.socket) -> None:
        while not self._stopping.is_set():
            heard = 0
            ear.settimeout(LOOK_EVERY)
            try:
                while heard <= 2 * MANY:
                    datagram = ear.recv(2 * hints.MOST_BYTES)
                    if self._stopping.is_set():
                        return
                    hints.receive(self._signals, datagram)
                    heard += 1
                    ear.settimeout(0)
            except BlockingIOError:
                pass
            except TimeoutError:
                self._look_later()
            if heard >= MANY:
                hints.publish(self._signals, [("",)])

    def _bind(self) -> socket.socket:
        if not hints.HAS_SOCKETS:
            raise OSError("this system has no unix sockets")
        place = f"{self._path}-wake-"
        if len(os.fsencode(place)) + 24 > LONGEST_PATH:
            place = _private_place(self._path)
        _tidy(place)
        address = f"{place}{os.getpid()}-{secrets.token_hex(4)}"
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            ear.bind(address)
        except BaseException:
            ear.close()
            raise
        beside = os.path.dirname(address) == os.path.dirname(self._path)
        # A bare name holds in every container that mounts the directory, wherever it does.
        self.name = os.path.basename(address) if beside else address
        return ear

    def _look_later(self) -> None:
        with self._lock:
            wants = hints.wanted_of(self._signals)
            if wants < self._wants:
                # Under the lock, so that who begins to watch now registers after this.
                self._wants = wants
                self._post(self._register)
        self._post(self._look)

    # --- on the writer thread ---------------------------------------------------------------------

    def _register(self, transaction: Transaction) -> None:
        if self._stopping.is_set():
            return
        if self.name:
            transaction.run(QUERIES.listen, name=self.name, ended=self._wants)
        # What others did before they knew of us, told now. They write before this transaction or after it.
        self._look(transaction)

    def _look(self, transaction: Transaction) -> None:
        seen, self._seen = self._seen, _state(transaction)
        if self._seen[0] == seen[0]:
            return
        # Without a fresh number nothing can have become pending, due or grouped, or been cancelled.
        hints.publish(self._signals, [("ended",), ("changed",)] if self._seen[1] == seen[1] else [("",)])
        if self.name and not transaction.one(QUERIES.is_listening, name=self.name):
            transaction.run(QUERIES.listen, name=self.name, ended=self._wants)

    def unregister(self, transaction: Transaction) -> None:
        """The last job: nobody shall write to us any more."""
        if self.name:
            transaction.run(QUERIES.unlisten, name=self.name)


def _state(transaction: Transaction) -> tuple[int, int]:
    return transaction.value(QUERIES.data_version), transaction.value(QUERIES.last_number)


def _private_place(path: str) -> str:
    """Where the sockets of a database with a long path lie: a directory that only this user can enter."""
    directory = os.path.join(tempfile.gettempdir(), f"asynqio-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OSError(f"{directory} is not a private directory of this user")
    return os.path.join(directory, hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + "-wake-")


def _tidy(place: str) -> None:
    """Remove the sockets of processes that were killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for left in glob.glob(glob.escape(place) + "*"):
            try:
                probe.connect(left)
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    os.unlink(left)
            except OSError:
                continue
