"""Recovers the tasks of dead servers: each is decided like a failure and continues elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Sequence
from random import Random

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Expired
from asynqio.clock import ClockStep
from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.lifecycle import Failed, Lease, Settlement, decide
from asynqio.core.task.message import TaskState
from asynqio.errors import LeaseExpired
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.events import TaskRecovered
from asynqio.runtime.service import Service

log = logging.getLogger("asynqio.server")

#: Seconds between two looks that must both find a lease lapsed. A holder that was frozen together with this server (a
#: suspended machine, a stopped process group, a held GIL) renews it meanwhile. A dead server's task must run again
#: within its lease + 2 s.
CONFIRMATION = 0.5
#: Seconds after the return of an unavailable store in which no server is declared dead: live servers, whose leases
#: may have lapsed meanwhile, reconnect within 5 s.
RETURN_GRACE = 5.0
#: Seconds that hooks get to end when the server stops.
HOOKS_TIMEOUT = 1.0
#: Expired leases read per call.
BATCH_SIZE = 1_000


class Recoverer(Service):
    """Runs when the next lease could lapse. Never takes a task that this server still runs."""

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
        #: Whether the last call to the store failed, or was slow.
        self._failed = self._slow = False
        self._hooks: set[asyncio.Task[None]] = set()

    async def once(self) -> float:
        steady = self._broker.clock.monotonic()
        if self._step.jumped():
            log.warning(
                "the clock was set; expired leases are ignored for the next %.0f s",
                self._lease,
                extra={"event": "clock_changed", "seconds": self._lease},
            )
            self._trust_after = steady + self._lease
        leases, next_at = await self._expired(steady)
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

    async def _expired(self, steady: float) -> Expired:
        """The expired leases. If the store was unavailable, all servers get time to reconnect first."""
        failed, self._failed = self._failed, True
        found = await self._broker.expired(self._queues, BATCH_SIZE)
        self._failed = False
        now = self._broker.clock.monotonic()
        was_slow, self._slow = self._slow, now - steady >= CONFIRMATION
        # A slow answer may have waited for the store's return, unless the store is always slow.
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
            # The record that the attempt left before its server died; Go's servers leave none.
            left = found[-1] if found and found[-1].outcome is AttemptOutcome.RUNNING else AttemptRecord()
            end = decide(lease, lost, now, policy, self._random.random())
            settlements.append(with_record(end, lost, left, now))
        answers = await self._broker.settle(settlements)
        for settlement, ours in zip(settlements, answers, strict=True):
            if ours:
                message = settlement.message
                log.log(
                    logging.ERROR if settlement.to is TaskState.ARCHIVED else logging.WARNING,
                    "task %r (%s, queue %r) was left by a dead server; now %s (crash %d)",
                    message.id,
                    message.type,
                    message.queue,
                    settlement.to,
                    message.crashes,
                    extra={
                        "event": "task_recovered",
                        "state": str(settlement.to),
                        "count": message.crashes,
                        "error": message.last_error,
                        **task_fields(settlement.lease.message),
                    },
                )
                if self._runner.events.listeners:
                    self._runner.events.publish(TaskRecovered(message, settlement.to))
                if settlement.to is TaskState.ARCHIVED:
                    self._run_hooks(lost, settlement)

    def _run_hooks(self, lost: Failed, settlement: Settlement) -> None:
        """Call the application's hooks for a task that failed for good. Recovery does not wait for them."""
        task = asyncio.create_task(self._runner.run_hooks(lost, settlement), name="asynqio hooks")
        self._hooks.add(task)
        task.add_done_callback(self._hooks.discard)

    async def close(self) -> None:
        if self._hooks:
            await asyncio.wait(self._hooks, timeout=HOOKS_TIMEOUT)
        for task in list(self._hooks):
            task.cancel()
