"""The batches of groups that this server is aggregating. The heartbeat renews their claims."""

from __future__ import annotations

import asyncio

from asynqio.brokers.contract.broker import Broker
from asynqio.core.groups import BATCH_LEASE, GroupBatch

#: Seconds that a stopping server gives the store to take the batches back.
RETURN_TIMEOUT = 2.0


class _Claim:
    """One batch, the asyncio task that aggregates it, and when its claim expires."""

    __slots__ = ("batch", "expires_at", "finishing", "lost", "task")

    def __init__(self, batch: GroupBatch, task: asyncio.Task[None]) -> None:
        self.batch = batch
        self.task = task
        self.expires_at = batch.expires_at
        self.lost = False
        #: The function has ended, and the batch is being merged or returned: that it is gone is no loss.
        self.finishing = False


class Claims:
    """Used by the aggregator, on the server's event loop, and by the heartbeat, in its thread (`renew`)."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}

    def __len__(self) -> int:
        return len(self._claims)

    def add(self, batch: GroupBatch, task: asyncio.Task[None]) -> None:
        """Renew the claim of this batch until `remove`."""
        self._claims[batch.id] = _Claim(batch, task)

    def finish(self, batch: GroupBatch) -> None:
        """The function has ended; the batch is about to be merged or returned."""
        self._claims[batch.id].finishing = True

    def remove(self, batch: GroupBatch) -> None:
        """The aggregation has ended."""
        self._claims.pop(batch.id, None)

    def is_lost(self, batch: GroupBatch) -> bool:
        """Whether the claim was lost."""
        claim = self._claims.get(batch.id)
        return claim is None or claim.lost

    async def wait(self) -> None:
        """Wait until no aggregation is running."""
        while tasks := [claim.task for claim in self._claims.values() if not claim.task.done()]:
            await asyncio.wait(tasks)

    async def cancel(self) -> None:
        """Cancel the functions that run, and wait until all batches are merged or returned: at most twice
        RETURN_TIMEOUT seconds."""
        for only_functions in (True, False):
            claims = [claim for claim in self._claims.values() if not claim.task.done()]
            for claim in claims:
                if not (only_functions and claim.finishing):
                    claim.task.cancel()
            if claims:
                await asyncio.wait([claim.task for claim in claims], timeout=RETURN_TIMEOUT)

    async def renew(self, broker: Broker) -> None:
        """Renew the claims, except recent ones. An aggregation whose claim was lost is cancelled. Runs in any thread,
        on a broker of that thread. Raises BrokerError."""
        now = broker.clock.now()
        old = [claim for claim in list(self._claims.values()) if claim.expires_at < now + BATCH_LEASE * 3 / 4]
        if not old:
            return
        answers = await broker.renew_batches([claim.batch for claim in old], BATCH_LEASE)
        for claim, kept in zip(old, answers, strict=True):
            if kept:
                claim.expires_at = now + BATCH_LEASE
            elif not claim.finishing and not claim.task.done():
                claim.lost = True
                claim.task.get_loop().call_soon_threadsafe(claim.task.cancel)
