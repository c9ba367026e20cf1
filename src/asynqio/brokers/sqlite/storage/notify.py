"""Telling others that something happened: this process by its signals, other processes by datagrams.

A datagram is a MessagePack list of topics; a topic of one word stands for all of its kind, an empty list for
anything. Hints have no authority: whoever gets one reads the database again, so a lost one costs a moment and
a forged one nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.signals import Signals, Topic
from asynqio.brokers.sqlite.storage.statements import QUERIES
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskMessage, TaskRef

#: Largest datagram, in bytes; what does not fit is said by kinds. Ten of them fit into any socket's buffer.
MOST_BYTES = 2_000

#: What a listener wants to be told of single tasks: their ends, or every change.
ENDED, CHANGED = 1, 2

HAS_SOCKETS = hasattr(socket, "AF_UNIX")

_decode = msgspec.msgpack.Decoder(list[tuple[str, ...]]).decode
_encode = msgspec.msgpack.encode


def publish(to: Signals, topics: Iterable[Topic]) -> None:
    """Wake whoever watches one of the topics. From any thread."""
    # A loop that closes at this very moment has nobody left to wake.
    with contextlib.suppress(RuntimeError):
        for topic in topics:
            if len(topic) == 1:
                to.publish_all(topic[0])
            else:
                to.publish([topic])


def receive(to: Signals, datagram: bytes) -> None:
    """Publish what another process said."""
    try:
        topics = _decode(datagram)
    except msgspec.MsgspecError:
        topics = []
    publish(to, topics if topics and all(topics) else [("",)])


def pack(topics: Sequence[Topic]) -> bytes:
    """The datagram for some topics."""
    datagram = _encode(topics)
    return datagram if len(datagram) <= MOST_BYTES else _encode([[kind] for kind in {t[0] for t in topics}])


class Named(Protocol):
    """Our own ear: it needs no mail from us."""

    name: str


class Mailer:
    """The `Announcer` of one session. Used by its writer thread only."""

    def __init__(self, own: Named, to: Signals, directory: str, forget: Callable[[str], None]) -> None:
        self._own = own
        self._signals = to
        self._directory = directory
        self._forget = forget
        self._socket: socket.socket | None = None
        #: Listeners whose buffer was full: they are told of anything the next time.
        self._owed: set[str] = set()

    def prepare(self, done: Sequence[Transaction]) -> Callable[[], None]:
        """Ask who listens, within the transaction: who comes later will find what it did."""
        topics: set[Topic] = set().union(*(transaction.topics for transaction in done))
        ended = [ref for transaction in done for ref in transaction.ended]
        changed = [task for transaction in done for task in transaction.changed]
        if not topics and not ended and not changed:
            return _nothing
        listeners = [
            (name, wants) for name, wants in done[0].all(QUERIES.listeners) if name != self._own.name
        ]
        return lambda: self._tell(listeners, topics, ended, changed)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(
        self,
        listeners: Sequence[tuple[str, int]],
        topics: set[Topic],
        ended: Sequence[TaskRef],
        changed: Sequence[TaskRef | TaskMessage],
    ) -> None:
        ends = [signals.ended(ref) for ref in ended] if _somebody(ENDED, listeners, self._signals) else []
        changes = []
        if _somebody(CHANGED, listeners, self._signals):
            changes = [signals.changed(TaskRef(task.queue, task.id)) for task in (*ended, *changed)]
        # Asked after the commit: who watches from now on will find the new states.
        publish(self._signals, [*topics, *ends, *changes])
        for name, wants in listeners:
            if news := [*topics, *(ends if wants >= ENDED else ()), *(changes if wants >= CHANGED else ())]:
                self._send(name, news)

    def _send(self, name: str, topics: Sequence[Topic]) -> None:
        if not HAS_SOCKETS:
            return  # whoever listens there looks for itself
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        datagram = _encode([]) if name in self._owed else pack(topics)
        path = os.path.join(self._directory, name)
        try:
            self._socket.sendto(datagram, path)
            self._owed.discard(name)
        except (FileNotFoundError, ConnectionRefusedError):
            # Its process is gone; what it left behind is ours to tidy.
            self._owed.discard(name)
            with contextlib.suppress(OSError):
                os.unlink(path)
            self._forget(name)
        except OSError:
            self._owed.add(name)


def wanted_of(to: Signals) -> int:
    """What this process wants to be told beside the topics that everybody gets: 0, ENDED or CHANGED."""
    return CHANGED if to.watched("changed") else ENDED if to.watched("ended") else 0


def _somebody(wants: int, listeners: Sequence[tuple[str, int]], own: Signals) -> bool:
    return wanted_of(own) >= wants or any(theirs >= wants for _, theirs in listeners)


def _nothing() -> None:
    return None
