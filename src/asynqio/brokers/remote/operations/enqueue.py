"""Enqueue: one call, or several if the entries do not fit a frame of the gateway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.remote.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.remote.wire.operations import OF_STORE
from asynqio.core.task.task import Entry

#: Approximate bytes of payloads in one call: well below the frame that any gateway accepts.
CALL_BYTES = 4_000_000
#: Entries per call.
CALL_ENTRIES = 5_000


async def enqueue(connection: ReconnectingConnection, entries: Sequence[Entry]) -> list[Admission | Replaced]:
    """See Broker.enqueue. The calls follow each other, so that the order of the entries is kept."""
    answers: list[Admission | Replaced] = []
    for some in _chunks(entries):
        answers += await connection.send(OF_STORE["enqueue"], (some,)).answer
    return answers


def _chunks(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    start = size = 0
    for at, entry in enumerate(entries):
        bytes = len(entry.message.payload or b"")
        if at > start and (size + bytes > CALL_BYTES or at - start == CALL_ENTRIES):
            yield entries[start:at]
            start, size = at, 0
        size += bytes
    if start < len(entries):
        yield entries[start:]
