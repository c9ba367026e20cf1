"""Tasks whose server died are decided like failures and go on elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from random import Random
from typing import TYPE_CHECKING

from asynqio.brokers.base import Broker
from asynqio.clock import ClockStep
from asynqio.core.lifecycle import Failed, Lease, decide
from asynqio.errors import LeaseExpired
from asynqio.runtime.service import Service

if TYPE_CHECKING:
    from asynqio.runtime.runner import Runner

log = logging.getLogger("asynqio.server")

#: A lease must be seen lapsed twice, so many seconds apart: time for a holder that was merely frozen together
#: with us (a suspended machine, a stopped process group, a held GIL) to renew it. P1 allows lease + 2 s.
CONFIRMATION = 0.5
#: Leases looked at per call.
BATCH = 1_000


class Recoverer(Service):
    """Looks when the next lease could lapse. Never takes what this very server is still running."""

    name = "recoverer"

    def __init__(
        self, broker: Broker, queues: Sequence[str], runner: Runner, *, lease: float, random: Random
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._runner = runner
        self._lease = lease
        self._random = random
        self._suspects: dict[tuple[str, str, Hashable], float] = {}
        self._step = ClockStep(broker.clock)
        self._trust_after = 0.0

    async def once(self) -> float:
        steady = self._broker.clock.monotonic()
        if self._step.jumped():
            log.warning("the clock was set: no lease is judged for the next %.0f s", self._lease)
            self._trust_after = steady + self._lease
        leases, next_at = await self._broker.expired(self._queues, BATCH)
        lapsed = {
            (lease.message.queue, lease.message.id, lease.token): lease
            for lease in leases
            if not self._runner.is_running(lease)
        }
        if steady < self._trust_after:
            self._suspects = {}
            return CONFIRMATION
        confirmed = [
            lease for key, lease in lapsed.items() if steady - self._suspects.get(key, steady) >= CONFIRMATION
        ]
        self._suspects = {
            key: self._suspects.get(key, steady) for key, lease in lapsed.items() if lease not in confirmed
        }
        if confirmed:
            await self._recover(confirmed)
        if lapsed:
            return CONFIRMATION + 0.01
        if next_at is None:
            return self._lease
        return min(max(next_at - self._broker.clock.now(), 0.0) + 0.01, self._lease)

    async def _recover(self, leases: list[Lease]) -> None:
        now = self._broker.clock.now()
        error = LeaseExpired()
        settlements = [
            decide(lease, Failed(error), now, self._runner.policy_of(lease.message), self._random.random())
            for lease in leases
        ]
        answers = await self._broker.settle(settlements)
        for settlement, ours in zip(settlements, answers, strict=True):
            if ours:
                message = settlement.message
                log.warning(
                    "task %r (%s, queue %r) was left by a dead server; now %s (crash %d)",
                    message.id,
                    message.type,
                    message.queue,
                    settlement.to,
                    message.crashes,
                )
