"""Tasks whose server died are decided like failures and go on elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from random import Random
from typing import TYPE_CHECKING

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Expired
from asynqio.clock import ClockStep
from asynqio.core.attempts.final_record import recorded
from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.lifecycle import Failed, Lease, decide
from asynqio.errors import LeaseExpired
from asynqio.runtime.events import TaskRecovered
from asynqio.runtime.service import Service

if TYPE_CHECKING:
    from asynqio.runtime.runner import Runner

log = logging.getLogger("asynqio.server")

#: A lease must be seen lapsed twice, so many seconds apart: time for a holder that was merely frozen together
#: with us (a suspended machine, a stopped process group, a held GIL) to renew it. P1 allows lease + 2 s.
CONFIRMATION = 0.5
#: Seconds after the return of a store that was away in which nobody is declared dead. The leases of the living
#: may have lapsed with it, and each needs a moment to find back: within 5 s, as is promised, everybody has.
RETURN_GRACE = 5.0
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
        #: When the store was asked last, did it fail to answer, or take its time?
        self._failed = self._slow = False

    async def once(self) -> float:
        steady = self._broker.clock.monotonic()
        if self._step.jumped():
            log.warning("the clock was set: no lease is judged for the next %.0f s", self._lease)
            self._trust_after = steady + self._lease
        leases, next_at = await self._look(steady)
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

    async def _look(self, steady: float) -> Expired:
        """What `expired` says; after an absence of the store everybody gets time to come back."""
        failed, self._failed = self._failed, True
        found = await self._broker.expired(self._queues, BATCH)
        self._failed = False
        now = self._broker.clock.monotonic()
        was_slow, self._slow = self._slow, now - steady >= CONFIRMATION
        # An answer that took long may have waited for the store's return; one that is always slow was never away.
        if failed or (self._slow and not was_slow):
            self._trust_after = max(self._trust_after, now + RETURN_GRACE)
        return found

    async def _recover(self, leases: list[Lease]) -> None:
        now = self._broker.clock.now()
        lost = Failed(LeaseExpired())
        settlements = []
        attempts = await self._broker.attempts([lease.message.ref for lease in leases])
        for lease, found in zip(leases, attempts, strict=True):
            policy = self._runner.policy_of(lease.message)
            # What it left of itself before its server died; of one of Go's nothing is known.
            left = found[-1] if found and found[-1].outcome is AttemptOutcome.RUNNING else AttemptRecord()
            end = decide(lease, lost, now, policy, self._random.random())
            settlements.append(recorded(end, lost, left, now))
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
                if self._runner.events.listeners:
                    self._runner.events.publish(TaskRecovered(message, settlement.to))
