"""Follows the changes of tenants and tokens, and disconnects clients whose credentials or rights have changed."""

from __future__ import annotations

from asynqio.gateway.asgi import POLICY_VIOLATION
from asynqio.gateway.principals.authenticate import Authenticator
from asynqio.gateway.principals.principal import Principal
from asynqio.gateway.sessions import Sessions
from asynqio.runtime.service import Service

#: Seconds between two looks: every gateway of a store learns of a change within a second.
INTERVAL = 0.5


class Revocations(Service):
    """Runs twice a second; a look costs one small read of the store."""

    name = "revocations"

    def __init__(self, authenticator: Authenticator, sessions: Sessions) -> None:
        self._authenticator = authenticator
        self._sessions = sessions

    async def once(self) -> float:
        changes = await self._authenticator.refresh()

        def is_revoked(principal: Principal) -> bool:
            return changes.concern(principal) and not self._authenticator.is_valid(principal)

        if changes.tenants or changes.tokens:
            self._sessions.disconnect(is_revoked, POLICY_VIOLATION)
        return INTERVAL
