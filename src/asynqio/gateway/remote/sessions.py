"""All sessions of a gateway. A session survives its connection for a while: its client resumes it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.remote.wire.hello import Hello
from asynqio.gateway.remote.limits import RemoteLimits
from asynqio.gateway.remote.session import Session


class Key(NamedTuple):
    """Who resumes a session: the same principal with the secret id of the session."""

    principal: str
    session: str


class _Entry:
    def __init__(self, session: Session) -> None:
        self.session = session
        #: Set when another connection takes the session over.
        self.replaced = asyncio.Event()
        #: Ends the session if its client does not come back.
        self.timer: asyncio.TimerHandle | None = None


class RemoteSessions:
    """The sessions of one gateway process, on one event loop."""

    def __init__(self, limits: RemoteLimits | None = None) -> None:
        self.limits = limits or RemoteLimits()
        self._entries: dict[Key, _Entry] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def attach(self, key: Key, received: int, store: Store) -> tuple[Session, Hello, asyncio.Event]:
        """The session of a new connection, its hello, and the event that ends the connection: the client has made
        another one."""
        entry = self._entries.get(key)
        resumed = entry is not None and entry.session.outbox.resume(received)
        if entry is not None:
            self._keep(entry)
            entry.replaced.set()
            if not resumed:
                self._close(entry.session)
        if entry is None or not resumed:
            entry = self._entries[key] = _Entry(Session(store, self.limits))
        entry.session.store = store
        entry.replaced = asyncio.Event()
        return entry.session, entry.session.hello(resumed=resumed), entry.replaced

    def detach(self, key: Key, session: Session, *, ended: bool) -> None:
        """The connection is gone. `ended`: the client has said that it does not come back."""
        entry = self._entries.get(key)
        if entry is None or entry.session is not session or entry.timer is not None:
            return
        waiting = sum(other.timer is not None for other in self._entries.values())
        if ended or waiting >= self.limits.max_detached:
            self._end(key, entry)
        else:
            loop = asyncio.get_running_loop()
            entry.timer = loop.call_later(self.limits.resume_for, self._end, key, entry)

    def _keep(self, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _end(self, key: Key, entry: _Entry) -> None:
        self._keep(entry)
        if self._entries.get(key) is entry:
            del self._entries[key]
        self._close(entry.session)

    def _close(self, session: Session) -> None:
        self._spawn(session.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End all sessions: the gateway stops."""
        for key, entry in list(self._entries.items()):
            entry.replaced.set()
            self._end(key, entry)
        await asyncio.gather(*self._closing, return_exceptions=True)
