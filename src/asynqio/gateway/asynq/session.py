"""What the gateway knows of one connected client of the asynq-server protocol."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import BATCH_LEASE, GroupBatch
from asynqio.core.info import ServerInfo
from asynqio.core.lifecycle import Aborted, Lease, Outcome
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerError
from asynqio.gateway.asgi import Message
from asynqio.gateway.asynq import answers
from asynqio.gateway.asynq.held import HeldTask
from asynqio.gateway.errors import TaskNotHeld
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.principal import Principal

log = logging.getLogger("asynqio.gateway")


class Session:
    """One WebSocket, from its upgrade to its end."""

    def __init__(
        self, gateway: Gateway, principal: Principal, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self.gateway = gateway
        self.principal = principal
        self.client = gateway.client_of(principal)
        self.store = self.client.broker
        self.stored = principal.scope.stored
        self.started_at = gateway.clock.now()
        #: The tasks that it holds, by their stored names.
        self.held: dict[TaskRef, HeldTask] = {}
        #: The group batches that it has claimed, by their ids.
        self.batches: dict[str, GroupBatch] = {}
        #: Its last heartbeat, if it is a consumer.
        self.consumer: ServerInfo | None = None
        #: It has removed its registration, so it stops. Clients go on asking for tasks, which they would not finish.
        self.leaving = False
        self.processed = 0
        self.failed = 0
        self.closed = False
        self._send = send
        #: The task in the answer that is being sent.
        self._handed: HeldTask | None = None
        self._pushes: deque[Message] = deque()
        self._pushing: asyncio.Task[None] | None = None

    # --- tasks that it holds ----------------------------------------------------------------------

    def hold(self, lease: Lease) -> None:
        """Register a task that is handed out."""
        message = lease.message
        ref = TaskRef(self.stored(message.queue), message.id)
        self._handed = HeldTask(ref, lease, self, self.gateway.clock)
        self.gateway.held.add(self._handed)

    def delivered(self) -> None:
        """The last answer was sent."""
        self._handed = None

    def undelivered(self) -> None:
        """The last answer could not be sent: a task in it goes back to its queue, uncounted."""
        handed, self._handed = self._handed, None
        if handed is not None:
            self._return(handed)

    def _return(self, held: HeldTask) -> None:
        self.gateway.held.remove(held)
        self.give_back(held.lease)

    def give_back(self, lease: Lease) -> None:
        """Return a task to the front of its queue, uncounted."""
        self.gateway.settle_later(self.store, self.gateway.decide(lease, Aborted()))

    def get(self, queue: str, id: str) -> HeldTask:
        """The task that the client holds under this name. Raises TaskNotHeld.

        A client that has reconnected may end the tasks of its earlier connection. A name may have the prefix of the
        tenant: clients that were made for asynq-server send it."""
        held = self.gateway.held.get(TaskRef(self.stored(queue), id))
        if held is None and self.principal.scope.owns(queue):
            held = self.gateway.held.get(TaskRef(queue, id))
        if held is None or held.session.principal.identity != self.principal.identity:
            raise TaskNotHeld(queue, id)
        return held

    def take(self, queue: str, id: str) -> HeldTask:
        """As `get`, and the client no longer holds the task."""
        held = self.get(queue, id)
        self.gateway.held.remove(held)
        return held

    def lose(self, held: HeldTask) -> None:
        """The lease of a task was lost: the client should stop working on it. Raises TaskNotHeld."""
        self.gateway.held.remove(held)
        held.session.push(answers.cancellation(held.ref.id))
        raise TaskNotHeld(held.lease.message.queue, held.ref.id)

    async def settle(self, lease: Lease, outcome: Outcome, *, started_at: float = 0.0) -> None:
        """Store how an attempt ended. Raises TaskNotHeld if its lease is lost.

        Raises BrokerError if the store does not answer or refuses: the gateway keeps the settlement and its lease,
        and repeats the call until it is stored."""
        now = self.gateway.clock.now()
        settlement = self.gateway.decide(lease, outcome)
        record = AttemptRecord(worker=self.consumer.id if self.consumer else "", started_at=started_at)
        settlement = with_record(settlement, outcome, record, now)
        if settlement.processed:
            self.processed += 1
            self.failed += settlement.failed
        try:
            [kept] = await self.store.settle([settlement])
        except BrokerError:
            self.gateway.settle_later(self.store, settlement)
            raise
        if not kept:
            raise TaskNotHeld(lease.message.queue, lease.message.id)

    async def renew_batches(self) -> None:
        """Extend the claims of its batches that have run for half their time; forget those that are lost."""
        now = self.gateway.clock.now()
        old = [batch for batch in self.batches.values() if batch.expires_at < now + BATCH_LEASE / 2]
        if not old:
            return
        for batch, kept in zip(old, await self.store.renew_batches(old, BATCH_LEASE), strict=True):
            if not kept:
                self.batches.pop(batch.id, None)
            elif batch.id in self.batches:
                self.batches[batch.id] = msgspec.structs.replace(batch, expires_at=now + BATCH_LEASE)

    # --- pushes and the end -----------------------------------------------------------------------

    def push(self, text: str) -> None:
        """Send a message that answers no request, after those before it. Does not wait for a slow client."""
        self._send_later({"type": "websocket.send", "text": text})

    def disconnect(self, code: int) -> None:
        """Close the WebSocket. The tasks of the client go back to their queues at once."""
        self._send_later({"type": "websocket.close", "code": code})
        self.closed = True
        self._return_all()

    def _send_later(self, message: Message) -> None:
        if self.closed:
            return
        self._pushes.append(message)
        if self._pushing is None:
            self._pushing = asyncio.create_task(self._send_pushes(), name="asynqio pushes of a session")

    async def _send_pushes(self) -> None:
        try:
            while self._pushes:
                await self._send(self._pushes.popleft())
        except OSError:  # the client is gone, which ends the session
            self._pushes.clear()
        finally:
            self._pushing = None

    async def close(self, *, clean: bool) -> None:
        """The client is gone. After a clean end its tasks go back to their queues at once, uncounted. Otherwise it
        may still work on them, or may have died of one: their leases run out, and count as crashes."""
        self.closed = True
        if self._pushing is not None:
            self._pushing.cancel()
        if not clean:
            return
        self._return_all()
        batches, self.batches = self.batches, {}
        try:
            for batch in batches.values():
                await self.store.return_batch(batch)
            if self.consumer is not None:
                await self.store.leave(self.consumer)
        except BrokerError as error:  # the claims and the registration expire
            log.warning(
                "a client left, and its registration remains until it expires: %s",
                error,
                extra={"event": "session_left", "error": str(error)},
            )

    def _return_all(self) -> None:
        # The last one first: each goes to the front of its queue, which restores their order.
        for held in reversed(list(self.held.values())):
            self._return(held)
