"""Sends the settlements of all attempts to the broker in batches, and repeats them until it has answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from asynqio.brokers.contract.broker import Broker
from asynqio.core.attempts.ending import Ending
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.runtime.attempts.apply_each import affects_all, apply_each, is_permanent
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.attempts.unstorable import WithoutOutcome, without_outcome
from asynqio.runtime.events import AttemptEnded, Events
from asynqio.runtime.service import BACKOFF_CAP, FIRST_BACKOFF

log = logging.getLogger("asynqio.server")

#: Settlements per call. One call settles everything that ended while the previous one was in flight.
BATCH_SIZE = 1_000
#: Approximate bytes that one call makes the store write: a transaction of SQLite blocks all other writers.
BATCH_BYTES = 16_000_000
#: Seconds between two reports that the broker refuses settlements of a queue.
REPORT_EVERY = 30.0


class Settler:
    """Collects settlements and applies them, in order, one call at a time.

    What the broker answers decides (the table is in docs/reference/errors.md):

    * The lease is lost: the settlement is refused, another server has the task.
    * The broker is unavailable: settlements wait here, in one backlog per queue, because a cluster may have lost the
      masters of some queues only. Later settlements of the queue wait behind them.
    * The broker refuses single settlements, now or for an unknown reason: they wait in a second backlog of their
      queue, and delay no other.
    * A settlement can never be stored: it is replaced, once, by one that archives the task with the reason.

    The leases of waiting settlements are still renewed (`outstanding`). Brokers fence by token, so a late repetition
    is safe: it is accepted, or refused. The fetcher stops while too many wait (`congested`).
    """

    def __init__(self, broker: Broker, high_water: int, events: Events | None = None) -> None:
        self._broker = broker
        self._high_water = high_water
        self._events = events or Events()
        #: Events to publish once the broker has answered, by the identity of the settlement.
        self._endings: dict[int, AttemptEnded] = {}
        self._queue: list[Settlement] = []
        self._in_flight: list[Settlement] = []
        #: Settlements that could not be stored yet, by queue and whether they were refused one by one, and the
        #: tasks that retry them.
        self._backlogs: dict[tuple[str, bool], list[Settlement]] = {}
        #: When refused settlements of a queue were last logged (monotonic time).
        self._logged: dict[str, float] = {}
        self._retries: set[asyncio.Task[None]] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        #: Settlements that were refused because the lease was lost.
        self.refused = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="asynqio settler")

    def add(self, settlement: Settlement, ended: AttemptEnded | None = None) -> None:
        """Queue a settlement. `ended` is published once the broker has answered."""
        self._queue.append(settlement)
        if ended is not None:
            self._endings[id(settlement)] = ended
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def congested(self) -> bool:
        backlog = sum(map(len, self._backlogs.values())) if self._backlogs else 0
        return len(self._queue) + len(self._in_flight) + backlog >= self._high_water

    def outstanding(self) -> list[Lease]:
        """The leases that are not settled yet. Safe to call from any thread."""
        # Read in the order in which settlements move, so that none is missed by another thread.
        found = [*self._queue, *self._in_flight]
        for backlog in list(self._backlogs.values()):
            found += list(backlog)
        return [settlement.lease for settlement in found]

    async def drain(self) -> None:
        """Wait until everything is settled, except what the broker refuses."""
        if self._queue:
            self._idle.clear()
        await self._idle.wait()

    async def stop(self, timeout: float) -> None:
        """Settle what is left, refused settlements included, for at most `timeout` seconds, and stop."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(timeout):
                await self.drain()
                if self._retries:
                    await asyncio.wait(self._retries)
        except TimeoutError:
            count = len(self.outstanding())
            log.error(
                "%d settlements could not be stored: these tasks run again when their leases lapse",
                count,
                extra={"event": "settlements_lost", "count": count},
            )
            self._publish_unrecorded()
        ending = [self._task, *self._retries]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._queue:
                self._waiter = loop.create_future()
                self._set_idle()
                await self._waiter
                self._waiter = None
                self._idle.clear()
            count = _batch_size(self._queue)
            self._in_flight, self._queue = self._queue[:count], self._queue[count:]
            if self._backlogs:
                self._in_flight = [one for one in self._in_flight if not self._joins_backlog(one)]
            if self._in_flight:
                await self._flush(self._in_flight)
            self._in_flight = []

    def _set_idle(self) -> None:
        """Wake `drain` if everything is settled."""
        delayed = any(not refused for _, refused in self._backlogs)
        if not delayed and not self._queue and self._waiter is not None and not self._waiter.done():
            self._idle.set()

    def _joins_backlog(self, settlement: Settlement) -> bool:
        """Add the settlement to the backlog of its queue. False if the queue has none."""
        backlog = self._backlogs.get((settlement.lease.message.queue, False))
        if backlog is None:
            return False
        backlog.append(settlement)
        return True

    async def _flush(self, batch: list[Settlement]) -> None:
        """Settle a batch, or move it to the backlogs of its queues."""
        left = await self._settle(batch)
        if left:
            self._log_waiting(left, FIRST_BACKOFF)
            for settlement, error in left:
                self._defer(settlement, refused=not affects_all(error))

    def _defer(self, settlement: Settlement, *, refused: bool) -> None:
        """Add the settlement to a backlog of its queue."""
        queue = settlement.lease.message.queue
        backlog = self._backlogs.get((queue, refused))
        if backlog is not None:
            backlog.append(settlement)
            return
        self._backlogs[queue, refused] = [settlement]
        retry = asyncio.create_task(self._retry(queue, refused), name=f"asynqio settler of {queue}")
        self._retries.add(retry)
        retry.add_done_callback(self._retries.discard)

    async def _retry(self, queue: str, refused: bool) -> None:
        """Retry until the backlog of a queue is empty."""
        backlog, delay = self._backlogs[queue, refused], FIRST_BACKOFF
        while backlog:
            await asyncio.sleep(delay)
            batch = backlog[: _batch_size(backlog)]
            left = await self._settle(batch)
            # Add before removing: `outstanding` may be read by another thread meanwhile.
            kept: list[Settlement] = []
            for settlement, error in left:
                if refused or affects_all(error):
                    kept.append(settlement)
                else:
                    self._defer(settlement, refused=True)
            if refused:
                # At the end: the next call begins with others.
                backlog += kept
                del backlog[: len(batch)]
            else:
                backlog[: len(batch)] = kept
            if len(left) < len(batch):
                delay = FIRST_BACKOFF if left else 0.0
            else:
                delay = min(max(2 * delay, FIRST_BACKOFF), BACKOFF_CAP)
            if left:
                self._log_waiting(left, delay)
        del self._backlogs[queue, refused]
        self._set_idle()

    async def _settle(self, batch: list[Settlement]) -> list[tuple[Settlement, Exception]]:
        """Settle a batch. Returns the settlements that must wait, and why."""
        answers = await apply_each(self._broker.settle, batch)
        left: list[tuple[Settlement, Exception]] = []
        if answers.count(True) < len(answers):
            batch, answers, left = await self._resolve(batch, answers)
        if self._endings:
            self._publish(batch, Ending.REFUSED, [answer is True for answer in answers])
        return left

    async def _resolve(
        self, batch: list[Settlement], answers: Sequence[bool | Exception]
    ) -> tuple[list[Settlement], list[bool | Exception], list[tuple[Settlement, Exception]]]:
        """Replace the settlements that can never be stored. Returns those that are answered, their answers, and the
        settlements that must wait."""
        unstorable = {
            at: self._replace(settlement, answer)
            for at, (settlement, answer) in enumerate(zip(batch, answers, strict=True))
            if isinstance(answer, Exception)
            and is_permanent(answer)
            and not isinstance(settlement, WithoutOutcome)
        }
        if unstorable:
            batch, answers = list(batch), list(answers)
            replaced = await apply_each(self._broker.settle, list(unstorable.values()))
            for at, answer in zip(unstorable, replaced, strict=True):
                batch[at], answers[at] = unstorable[at], answer
        done: list[Settlement] = []
        known: list[bool | Exception] = []
        left: list[tuple[Settlement, Exception]] = []
        for settlement, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                left.append((settlement, answer))
                continue
            done.append(settlement)
            known.append(answer)
            if not answer:
                self._report(settlement)
        return done, known, left

    def _replace(self, settlement: Settlement, error: Exception) -> Settlement:
        """The settlement that archives the task because its outcome can never be stored."""
        archived = without_outcome(settlement, error, self._broker.clock.now())
        message = settlement.lease.message
        log.error(
            "the outcome of task %r (%s, queue %r) can never be stored, the task is archived: %s",
            message.id,
            message.type,
            message.queue,
            error,
            extra={"event": "settlement_failed", "error": str(error), **task_fields(message)},
        )
        ended = self._endings.pop(id(settlement), None)
        if ended is not None:
            self._endings[id(archived)] = msgspec.structs.replace(ended, ending=Ending.ARCHIVED)
        return archived

    def _publish(self, batch: list[Settlement], otherwise: Ending, answers: list[bool]) -> None:
        """Publish how these attempts ended: `otherwise` if the settlement was not accepted."""
        for settlement, accepted in zip(batch, answers, strict=True):
            ended = self._endings.pop(id(settlement), None)
            if ended is not None:
                self._events.publish(ended if accepted else msgspec.structs.replace(ended, ending=otherwise))

    def _publish_unrecorded(self) -> None:
        left, self._endings = self._endings, {}
        for ended in left.values():
            self._events.publish(msgspec.structs.replace(ended, ending=Ending.UNRECORDED))

    def _report(self, settlement: Settlement) -> None:
        self.refused += 1
        message = settlement.lease.message
        log.warning(
            "task %r (%s, queue %r) ended after its lease was lost: the outcome was not recorded, another "
            "server has the task",
            message.id,
            message.type,
            message.queue,
            extra={"event": "settlement_refused", **task_fields(message)},
        )

    def _log_waiting(self, left: list[tuple[Settlement, Exception]], delay: float) -> None:
        """Log that settlements wait: refused ones once per queue and `REPORT_EVERY`."""
        unavailable = [error for _, error in left if affects_all(error)]
        if unavailable:
            log.warning(
                "settling %d tasks: %s; retrying in %.1f s",
                len(unavailable),
                unavailable[0],
                delay,
                extra={
                    "event": "settlements_deferred",
                    "count": len(unavailable),
                    "error": str(unavailable[0]),
                    "retry_in": round(delay, 3),
                },
            )
        refused: dict[str, list[Exception]] = {}
        for settlement, error in left:
            if not affects_all(error):
                refused.setdefault(settlement.lease.message.queue, []).append(error)
        now = self._broker.clock.monotonic()
        for queue, errors in refused.items():
            if now - self._logged.get(queue, -REPORT_EVERY) < REPORT_EVERY:
                continue
            self._logged[queue] = now
            log.error(
                "the broker refuses the outcome of %d tasks of queue %r: %s; their leases are kept, "
                "retrying until it accepts them",
                len(errors),
                queue,
                errors[0],
                extra={
                    "event": "settlements_kept",
                    "queue": queue,
                    "count": len(errors),
                    "error": str(errors[0]),
                },
            )


def _batch_size(queue: Sequence[Settlement]) -> int:
    """How many of these settlements one call takes."""
    count = min(len(queue), BATCH_SIZE)
    written = 0
    for at in range(count):
        settlement = queue[at]
        if settlement.to is not None:
            written += len(settlement.result or b"") + len(settlement.message.payload or b"")
            if written > BATCH_BYTES:
                return max(at, 1)
    return count
