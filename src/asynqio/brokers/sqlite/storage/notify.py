"""Notifies watches after a commit: those of this process by signals, other processes by datagrams.

A datagram is a MessagePack list of topics; a topic of one word stands for all topics of its kind, an empty list for
every topic. Datagrams are hints: the receiver reads the database again, so a lost one delays it for a moment and a
forged one has no effect.
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
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.task.message import TaskMessage, TaskRef

#: Largest datagram, in bytes; longer lists are shortened to kinds. Ten such datagrams fit into any socket's buffer.
MAX_BYTES = 2_000

#: What a listener wants to know of single tasks: their ends, or every change.
ENDED, CHANGED = 1, 2

HAS_SOCKETS = hasattr(socket, "AF_UNIX")

_decode = msgspec.msgpack.Decoder(list[tuple[str, ...]]).decode
_encode = msgspec.msgpack.encode


def publish(to: Signals, topics: Iterable[Topic]) -> None:
    """Notify the watches of these topics. Callable from any thread."""
    # A watch whose event loop closes at this moment has no caller left to notify.
    with contextlib.suppress(RuntimeError):
        for topic in topics:
            if len(topic) == 1:
                to.publish_all(topic[0])
            else:
                to.publish([topic])


def receive(to: Signals, datagram: bytes) -> None:
    """Publish the topics of a datagram from another process."""
    try:
        topics = _decode(datagram)
    except msgspec.MsgspecError:
        topics = []
    publish(to, topics if topics and all(topics) else [("",)])


def pack(topics: Sequence[Topic]) -> bytes:
    """The datagram for these topics."""
    datagram = _encode(topics)
    return datagram if len(datagram) <= MAX_BYTES else _encode([[kind] for kind in {t[0] for t in topics}])


class Named(Protocol):
    """This process's own listener: it needs no datagrams from us."""

    name: str


class Notifier:
    """The `Announcer` of one session. Used by its writer thread only."""

    def __init__(self, own: Named, to: Signals, directory: str, unlisten: Callable[[str], None]) -> None:
        self._own = own
        self._signals = to
        self._directory = directory
        self._unlisten = unlisten
        self._socket: socket.socket | None = None
        #: Listeners whose buffer was full: their next datagram names every topic.
        self._overflowed: set[str] = set()

    def prepare(self, done: Sequence[Transaction]) -> Callable[[], None]:
        """Read the listeners inside the transaction: a process that registers later reads its effects."""
        topics: set[Topic] = set().union(*(transaction.topics for transaction in done))
        ended = [ref for transaction in done for ref in transaction.ended]
        changed = [task for transaction in done for task in transaction.changed]
        if not topics and not ended and not changed:
            return _nothing
        listeners = [(name, wants) for name, wants in done[0].all(SQL.listeners) if name != self._own.name]
        return lambda: self._notify(listeners, topics, ended, changed)

    def wake_all(self) -> None:
        """Wake every watch of this process."""
        publish(self._signals, [("",)])

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _notify(
        self,
        listeners: Sequence[tuple[str, int]],
        topics: set[Topic],
        ended: Sequence[TaskRef],
        changed: Sequence[TaskRef | TaskMessage],
    ) -> None:
        ends = [signals.ended(ref) for ref in ended] if _is_wanted(ENDED, listeners, self._signals) else []
        changes = []
        if _is_wanted(CHANGED, listeners, self._signals):
            changes = [signals.changed(TaskRef(task.queue, task.id)) for task in (*ended, *changed)]
        # After the commit: a watch opened from now on reads the new states.
        publish(self._signals, [*topics, *ends, *changes])
        for name, wants in listeners:
            if news := [*topics, *(ends if wants >= ENDED else ()), *(changes if wants >= CHANGED else ())]:
                self._send(name, news)

    def _send(self, name: str, topics: Sequence[Topic]) -> None:
        if not HAS_SOCKETS:
            return  # listeners poll the file on such a system
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        datagram = _encode([]) if name in self._overflowed else pack(topics)
        path = os.path.join(self._directory, name)
        try:
            self._socket.sendto(datagram, path)
            self._overflowed.discard(name)
        except (FileNotFoundError, ConnectionRefusedError):
            # The process has died: remove its socket and its registration.
            self._overflowed.discard(name)
            with contextlib.suppress(OSError):
                os.unlink(path)
            self._unlisten(name)
        except OSError:
            self._overflowed.add(name)


def wanted_of(to: Signals) -> int:
    """What this process wants to know of single tasks: 0, ENDED or CHANGED. Other topics go to every listener."""
    return CHANGED if to.watched("changed") else ENDED if to.watched("ended") else 0


def _is_wanted(wants: int, listeners: Sequence[tuple[str, int]], own: Signals) -> bool:
    return wanted_of(own) >= wants or any(theirs >= wants for _, theirs in listeners)


def _nothing() -> None:
    return None
