"""Hands back what a call has taken whose caller is gone: cancelled, or out of patience."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from asynqio.brokers.contract.per_loop import loop_task
from asynqio.brokers.contract.results import Claimed
from asynqio.brokers.remote.connection.calls import Reply
from asynqio.brokers.remote.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.remote.wire.operations import OF_STORE
from asynqio.core.groups import GroupBatch
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskState
from asynqio.errors import BrokerError

log = logging.getLogger("asynqio.remote")

#: Seconds that a cancelled caller waits until what it took is handed back.
TIMEOUT = 1.0


class HandBack:
    """Makes calls that take something, and undoes them if their caller is cancelled or has given up."""

    def __init__(self, connection: ReconnectingConnection) -> None:
        self._connection = connection
        self._running: set[asyncio.Task[None]] = set()

    async def dequeue(self, arguments: Sequence[Any]) -> list[Lease]:
        """See Broker.dequeue."""
        leases: list[Lease] = await self._call("dequeue", arguments, self._return_leases)
        return leases

    async def claim_groups(self, arguments: Sequence[Any]) -> Claimed:
        """See Broker.claim_groups."""
        claimed: Claimed = await self._call("claim_groups", arguments, self._return_batches)
        return claimed

    async def _call(
        self, name: str, arguments: Sequence[Any], undo: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> Any:
        def late(answer: Reply) -> None:
            self._spawn(answer, undo)

        call = self._connection.send(OF_STORE[name], arguments, late=late)
        answer = call.answer
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if not self._connection.withdraw(call):
                await asyncio.wait([self._spawn(answer, undo)], timeout=TIMEOUT)
            raise

    def _spawn(self, answer: Reply, undo: Callable[[Any], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        task = loop_task(self._undo(answer, undo), "asynqio-remote hand back")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _undo(self, answer: Reply, undo: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        try:
            await undo(await answer)
        except BrokerError as error:
            log.warning(
                "tasks leased by a cancelled call could not be handed back, their leases will lapse: %s",
                error,
                extra={"event": "hand_back_failed", "error": str(error)},
            )

    async def _return_leases(self, leases: list[Lease]) -> None:
        if leases:
            back = [Settlement(lease, TaskState.PENDING, lease.message) for lease in reversed(leases)]
            await self._connection.send(OF_STORE["settle"], (back,)).answer

    async def _return_batches(self, claimed: Claimed) -> None:
        batches: list[GroupBatch] = claimed.batches
        for batch in batches:
            await self._connection.send(OF_STORE["return_batch"], (batch, None, False)).answer

    async def wait(self) -> None:
        """Wait for what is being handed back, at most TIMEOUT seconds."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=TIMEOUT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
