"""The connected clients, so that a changed or removed principal can be disconnected at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from asynqio.gateway.principals.principal import Principal


class Connected(Protocol):
    """A client with an open WebSocket."""

    principal: Principal

    def disconnect(self, code: int) -> None:
        """Close the WebSocket with a code. What it asks from now on is not carried out."""
        ...

    async def renew_batches(self) -> None:
        """Extend the claims of groups that the gateway keeps for the client. Raises BrokerError."""
        ...


class Sessions:
    """All open WebSockets of a gateway."""

    def __init__(self) -> None:
        self._open: set[Connected] = set()

    @contextlib.contextmanager
    def registered(self, session: Connected) -> Iterator[None]:
        """Count the session as open until the end of the block."""
        self._open.add(session)
        try:
            yield
        finally:
            self._open.discard(session)

    def disconnect(self, concerned: Callable[[Principal], bool], code: int) -> int:
        """Disconnect the clients of these principals; returns their number."""
        found = [session for session in self._open if concerned(session.principal)]
        for session in found:
            session.disconnect(code)
        return len(found)

    async def renew_batches(self) -> None:
        """Extend the claims of groups that the gateway keeps for its clients. Raises BrokerError."""
        for session in list(self._open):
            await session.renew_batches()

    def __len__(self) -> int:
        return len(self._open)
