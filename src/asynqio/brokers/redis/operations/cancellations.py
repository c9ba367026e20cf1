"""Cancellation requests over Pub/Sub: on our channel with the queue, on Go's channel as a bare task id.

A channel reaches the clients of all databases of a server. So our requests name their database, and servers of other
databases ignore them, as well as their repetition on Go's channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.redis.layout.keys import CANCEL, OWN_CANCEL, decode_lossy
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.session import Session
from asynqio.core.task.message import TaskRef

#: Requests that wait for a slow reader; older ones are dropped.
REQUESTS_KEPT = 10_000


class Request(NamedTuple):
    """A request on our channel, as a JSON array."""

    queue: str
    id: str
    archive: bool = False
    db: int = 0


async def publish(session: Session, refs: Iterable[TaskRef], *, archive: bool) -> None:
    """Ask every server to stop these tasks."""
    db = session.settings.db
    args = [
        arg for ref in refs for arg in (msgspec.json.encode(Request(ref.queue, ref.id, archive, db)), ref.id)
    ]
    if args:
        await session.run(LUA.publish_cancel, [OWN_CANCEL], [OWN_CANCEL, CANCEL, *args])


class Cancellations:
    """Distributes the requests of both channels for one database to readers."""

    def __init__(self, db: int) -> None:
        self._db = db
        self._readers: list[asyncio.Queue[Cancellation]] = []
        #: Our requests of any database by task id, each of which is repeated on Go's channel.
        self._repeated: dict[str, int] = {}

    def __len__(self) -> int:
        """The number of readers."""
        return len(self._readers)

    @contextmanager
    def reader(self) -> Iterator[asyncio.Queue[Cancellation]]:
        """A queue that receives all requests while the context is open."""
        requests: asyncio.Queue[Cancellation] = asyncio.Queue()
        self._readers.append(requests)
        try:
            yield requests
        finally:
            self._readers.remove(requests)

    def receive(self, channel: bytes, data: bytes) -> None:
        """Handle a message. Our channel carries queue and id, and Go's then repeats the id; Go sends only the id."""
        if channel == OWN_CANCEL.encode():
            queue, id, archive, db = msgspec.json.decode(data, type=Request)
            self._repeated[id] = self._repeated.get(id, 0) + 1
            if db != self._db:
                return
            request = Cancellation(TaskRef(queue, id), archive)
        else:
            id = decode_lossy(data)
            if (count := self._repeated.pop(id, 0)) > 0:
                if count > 1:
                    self._repeated[id] = count - 1
                return
            request = Cancellation(TaskRef("", id))
        for requests in self._readers:
            if requests.qsize() >= REQUESTS_KEPT:
                requests.get_nowait()
            requests.put_nowait(request)
