"""Recovers the tasks of dead servers: each is decided like a failure and continues elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Expired
from asynqio.clock import ClockStep
from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord
from asynqio.core.lifecycle import Failed, Lease, Settlement
from asynqio.core.task.message import TaskState
from asynqio.errors import LeaseExpired
from asynqio.runtime.attempts.apply_each import affects_all, apply_each, is_permanent
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.attempts.unstorable import without_outcome
from asynqio.runtime.events import TaskRecovered
from asynqio.runtime.leases.recovery import Recovery
from asynqio.runtime.leases.witness import RETURN_GRACE, Witness
from asynqio.runtime.service import Service

log = logging.getLogger("asynqio.server")

#: Seconds between two looks that must both find a lease lapsed. A holder that was frozen together with this server (a
#: suspended machine, a stopped process group, a held GIL) renews it meanwhile. A dead server's task must run again
#: within its lease + 2 s.
CONFIRMATION = 0.5
#: A holder whose renewal is refused tries again within a second, or within a tenth of its lease; seconds on top of it
#: until a refused connection is tried again, and for the call itself.
RENEWAL_RETRY, RECONNECT, RENEWAL_CALL = 1.0, 1.0, 0.2
#: Seconds until a task that could not be recovered is tried again.
RETRY_AFTER = 10.0
#: Seconds that hooks get to end when the server stops.
HOOKS_TIMEOUT = 1.0
#: Expired leases read per call.
BATCH_SIZE = 1_000


LOST = Failed(LeaseExpired())


class LeaseKey(NamedTuple):
    """Identifies a lease, whichever call returned it."""

    queue: str
    id: str
    token: Hashable


def _key(lease: Lease) -> LeaseKey:
    return LeaseKey(lease.message.queue, lease.message.id, lease.token)


class Recoverer(Service):
    """Runs when the next lease could lapse. Never takes a task that this server still runs."""

    name = "recoverer"

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        recovery: Recovery,
        *,
        lease: float,
        outstanding: Callable[[], Sequence[Lease]] = tuple,
        reports: Callable[[], bool] = lambda: True,
    ) -> None:
        """`outstanding`: the leases of attempts that have ended here and are not settled yet.

        `reports`: whether to log now that the clock was set; otherwise the level is DEBUG."""
        self._broker = broker
        self._queues = queues
        self._recovery = recovery
        self._lease = lease
        self._outstanding = outstanding
        self._reports = reports
        patience = max(CONFIRMATION, min(RENEWAL_RETRY, lease / 10) + RECONNECT + RENEWAL_CALL)
        self._witness = Witness(broker, patience)
        #: Seconds before a lease lapses at which writes are tried, so that a dead server's task is not late.
        self._ahead = patience - CONFIRMATION + 0.1
        #: Leases that have lapsed, since when (monotonic time).
        self._suspects: dict[LeaseKey, float] = {}
        #: Leases that could not be recovered, and when to try again (monotonic time).
        self._postponed: dict[LeaseKey, float] = {}
        self._step = ClockStep(broker.clock)
        self._trust_after = 0.0
        #: Whether the last call to the store failed, or was slow.
        self._failed = self._slow = False
        self._hooks: set[asyncio.Task[None]] = set()
        #: Set when other queues are to be looked at.
        self._changed = asyncio.Event()

    def serve(self, queues: Sequence[str]) -> None:
        """Recover the tasks of these queues from now on, starting at once. What is known of leases and of the store
        remains: a new recoverer would take leases as lapsed that this one does not trust yet."""
        self._queues = queues
        self._witness.forget_others(queues)
        self._changed.set()

    async def rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def once(self) -> float:
        self._changed.clear()
        steady = self._broker.clock.monotonic()
        if self._step.jumped():
            log.log(
                logging.WARNING if self._reports() else logging.DEBUG,
                "the clock was set; expired leases are ignored for the next %.0f s",
                self._lease,
                extra={"event": "clock_changed", "seconds": self._lease},
            )
            self._trust_after = steady + self._lease
        leases, next_at = await self._expired(steady)
        lapsed = self._lapsed(leases)
        soon = math.inf if next_at is None else next_at - self._broker.clock.now()
        if lapsed or soon <= self._ahead:
            await self._witness.check(self._queues if soon <= self._ahead else [key.queue for key in lapsed])
        if steady < self._trust_after:
            self._suspects = {}
            return CONFIRMATION
        steady = self._broker.clock.monotonic()
        self._postponed = {key: until for key, until in self._postponed.items() if until > steady}
        confirmed = {
            key: lease
            for key, lease in lapsed.items()
            if steady - self._suspects.get(key, steady) >= CONFIRMATION
            and self._witness.trusts(key.queue)
            and key not in self._postponed
        }
        self._suspects = {key: self._suspects.get(key, steady) for key in lapsed if key not in confirmed}
        if confirmed:
            await self._recover(confirmed)
        if lapsed:
            return CONFIRMATION + 0.01
        if soon > self._ahead:
            soon -= self._ahead
        return min(max(soon, 0.0) + 0.01, self._lease)

    def _lapsed(self, leases: Sequence[Lease]) -> dict[LeaseKey, Lease]:
        """Those of these leases that are not this server's own, running or waiting to be settled."""
        if not leases:
            return {}
        waiting = set(map(_key, self._outstanding()))
        found = {_key(lease): lease for lease in leases if not self._recovery.is_running(lease)}
        return {key: lease for key, lease in found.items() if key not in waiting}

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

    async def _recover(self, lapsed: dict[LeaseKey, Lease]) -> None:
        """Recover each of these leases; one that cannot be recovered does not stop the others.

        Raises BrokerUnavailable."""
        leases = list(lapsed.values())
        found = await apply_each(self._broker.attempts, [lease.message.ref for lease in leases])
        settlements: list[Settlement] = []
        for lease, attempts in zip(leases, found, strict=True):
            try:
                settlements.append(self._judge(lease, [] if isinstance(attempts, Exception) else attempts))
            except Exception as error:  # stored options that cannot be read
                self._postpone(lease, error)
        now = self._broker.clock.now()
        answers = await apply_each(self._broker.settle, settlements)
        for at, answer in enumerate(answers):
            if isinstance(answer, Exception) and is_permanent(answer):
                settlements[at] = without_outcome(settlements[at], answer, now)
                [answers[at]] = await apply_each(self._broker.settle, [settlements[at]])
        unavailable: Exception | None = None
        for settlement, answer in zip(settlements, answers, strict=True):
            if not isinstance(answer, Exception):
                if answer:
                    self._report(settlement)
            elif affects_all(answer):
                unavailable = answer
                self._witness.refuse(settlement.message.queue)
            else:
                self._postpone(settlement.lease, answer)
        if unavailable is not None:
            raise unavailable

    def _judge(self, lease: Lease, attempts: Sequence[AttemptRecord]) -> Settlement:
        # The record that the attempt left before its server died; Go's servers leave none.
        left = (
            attempts[-1] if attempts and attempts[-1].outcome is AttemptOutcome.RUNNING else AttemptRecord()
        )
        return with_record(self._recovery.decide(lease, LOST), LOST, left, self._broker.clock.now())

    def _postpone(self, lease: Lease, error: Exception) -> None:
        self._postponed[_key(lease)] = self._broker.clock.monotonic() + RETRY_AFTER
        log.error(
            "task %r (%s, queue %r) was left by a dead server and cannot be recovered: %s; trying again in %g s",
            lease.message.id,
            lease.message.type,
            lease.message.queue,
            error,
            RETRY_AFTER,
            extra={
                "event": "recovery_failed",
                "error": str(error),
                "retry_in": RETRY_AFTER,
                **task_fields(lease.message),
            },
        )

    def _report(self, settlement: Settlement) -> None:
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
        if self._recovery.events.listeners:
            self._recovery.events.publish(TaskRecovered(message, settlement.to))
        self._run_hooks(settlement)

    def _run_hooks(self, settlement: Settlement) -> None:
        """Call the application's hooks for a lost attempt. Recovery does not wait for them."""
        task = asyncio.create_task(self._recovery.run_hooks(LOST, settlement), name="asynqio hooks")
        self._hooks.add(task)
        task.add_done_callback(self._hooks.discard)

    async def close(self) -> None:
        if self._hooks:
            await asyncio.wait(self._hooks, timeout=HOOKS_TIMEOUT)
        for task in list(self._hooks):
            task.cancel()
