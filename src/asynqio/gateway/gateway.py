"""The gateway's services, whatever the protocol: the store, the tasks that clients hold, and the periodic duties."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import AsyncExitStack
from random import Random
from typing import Self

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.client import Client
from asynqio.core.lifecycle import Lease, Outcome, Policy, Settlement, decide
from asynqio.core.retry import RETRY_HEADER, from_header
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD
from asynqio.gateway.asynq.held import HeldTasks
from asynqio.gateway.duties.cancellations import Cancellations
from asynqio.gateway.duties.renewal import Renewal
from asynqio.gateway.duties.revocations import Revocations
from asynqio.gateway.paused_types import PausedTypes
from asynqio.gateway.principals.authenticate import Authenticator, AuthSettings
from asynqio.gateway.principals.principal import Principal
from asynqio.gateway.remote.limits import RemoteLimits
from asynqio.gateway.remote.sessions import RemoteSessions
from asynqio.gateway.sessions import Sessions
from asynqio.gateway.stores.coalescing import CoalescingStore
from asynqio.gateway.stores.scoped.store import ScopedStore
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.duties.housekeeping import Housekeeping
from asynqio.runtime.events import Events
from asynqio.runtime.leases.heartbeat import host_name
from asynqio.runtime.service import Loop

log = logging.getLogger("asynqio.gateway")

#: Settlements that may wait for the store before the gateway counts as congested.
HIGH_WATER = 10_000
#: Principals whose clients are kept.
CLIENTS_KEPT = 10_000
#: Seconds that the last settlements may take when the gateway stops.
LAST_FLUSH_TIMEOUT = 5.0


class Gateway:
    """Open from `async with`. `store` is open already, and used by this event loop only."""

    def __init__(
        self,
        store: Store,
        authentication: AuthSettings,
        *,
        lease: float = 30.0,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        random: Random | None = None,
    ) -> None:
        self.clock = store.clock
        self._authentication = authentication
        self._authenticator: Authenticator | None = None
        self._random = random or Random()
        self._housekeeping = Housekeeping(store, self, self._random, lease=lease)
        self.store = CoalescingStore(store, notice=self._housekeeping.notice)
        self.id = f"{host_name()}:{os.getpid()}:gateway-{uuid.uuid4()}"
        self.lease = lease
        self.max_payload = max_payload
        self.events = Events()
        self.held = HeldTasks()
        self.sessions = Sessions()
        self.remote_sessions = RemoteSessions(RemoteLimits(max_payload=max_payload))
        self.paused_types = PausedTypes(store)
        self._policy = Policy()
        self._clients: dict[Principal, Client] = {}
        self._settlers: dict[int, tuple[Store, Settler]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        authenticator = await Authenticator.open(self.store, self._authentication)
        self._stack.push_async_callback(authenticator.aclose)
        self._authenticator = authenticator
        services = (
            Cancellations(self.store, self.held),
            Renewal(self.clock, self.held, self.unsettled, self.sessions.renew_batches, lease=self.lease),
            Revocations(authenticator, self.sessions),
        )
        for service in services:
            loop = Loop(service, self._random)
            await loop.start()
            self._stack.push_async_callback(loop.stop)
        await self._housekeeping.start()
        self._stack.push_async_callback(self._housekeeping.stop)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.remote_sessions.close()
        for _, settler in self._settlers.values():
            await settler.stop(LAST_FLUSH_TIMEOUT)
        await self._stack.aclose()

    @property
    def authenticator(self) -> Authenticator:
        """Authenticates requests while the gateway is open."""
        assert self._authenticator is not None, "the gateway is not open: run its lifespan"
        return self._authenticator

    def store_of(self, principal: Principal) -> Store:
        """The store as this principal may use it."""
        return self.client_of(principal).broker

    def client_of(self, principal: Principal) -> Client:
        """A client of that store. All sessions of the principal share it, and thereby its calls."""
        client = self._clients.get(principal)
        if client is None:
            if len(self._clients) >= CLIENTS_KEPT:
                self._clients.clear()
            store = ScopedStore(self.store, principal.scope, principal.access)
            client = self._clients[principal] = Client(store, max_payload=self.max_payload)
        return client

    def decide(self, lease: Lease, outcome: Outcome) -> Settlement:
        """Decide what follows on the end of an attempt, by the retry policy of the task if it has one."""
        policy, headers = self._policy, lease.message.headers
        if headers and (text := headers.get(RETRY_HEADER)) and (retry := from_header(text)) is not None:
            policy = msgspec.structs.replace(policy, retry=retry)
        return decide(lease, outcome, self.clock.now(), policy, self._random.random())

    def is_running(self, lease: Lease) -> bool:
        """Whether a client holds this very lease, or its end waits for the store: then it is not recovered."""
        held = self.held.get(lease.message.ref)
        if held is not None and held.lease.token == lease.token:
            return not (held.session.closed or held.is_abandoned)
        return any(
            waiting.token == lease.token and waiting.message.id == lease.message.id
            for _, leases in self.unsettled()
            for waiting in leases
        )

    async def run_hooks(self, outcome: Outcome, settlement: Settlement) -> None:
        """A gateway has no hooks: those of the application are called by its servers."""

    def settle_later(self, store: Store, settlement: Settlement) -> None:
        """Store a settlement as soon as the store accepts it, and keep its lease until then."""
        _, settler = self._settlers.get(id(store), (None, None))
        if settler is None:
            settler = Settler(store, HIGH_WATER)
            settler.start()
            self._settlers[id(store)] = store, settler
        settler.add(settlement)

    def unsettled(self) -> list[tuple[Store, list[Lease]]]:
        """The leases of settlements that wait, by store."""
        return [(store, settler.outstanding()) for store, settler in self._settlers.values()]
