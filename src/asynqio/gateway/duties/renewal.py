"""Renews the leases of the tasks that connected clients hold, and of ends that are not stored yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from asynqio.brokers.contract.broker import Store
from asynqio.clock import Clock
from asynqio.core.lifecycle import Lease
from asynqio.gateway.asynq.answers import cancellation
from asynqio.gateway.asynq.held import HeldTask, HeldTasks
from asynqio.runtime.attempts.apply_each import apply_each
from asynqio.runtime.service import Service


class Renewal(Service):
    """Runs ten times per lease. A lease is renewed when a quarter of it has passed."""

    name = "renewal of leases"

    def __init__(
        self,
        clock: Clock,
        held: HeldTasks,
        unsettled: Callable[[], Iterable[tuple[Store, list[Lease]]]],
        renew_batches: Callable[[], Awaitable[None]],
        *,
        lease: float,
    ) -> None:
        """`unsettled`: the leases of ends that are not stored yet, by store. `renew_batches` extends the claims of
        groups."""
        self._clock = clock
        self._held = held
        self._unsettled = unsettled
        self._renew_batches = renew_batches
        self._lease = lease
        self._interval = min(1.0, lease / 10)

    async def once(self) -> float:
        now = self._clock.now()
        young = now + self._lease * 3 / 4
        by_store: dict[int, tuple[Store, list[Lease], list[HeldTask | None]]] = {}
        for held in self._held:
            session = held.session
            if session.closed or held.is_abandoned:
                if held.lease.expires_at <= now:
                    self._held.remove(held)
            elif held.lease.expires_at < young:
                _, leases, tasks = by_store.setdefault(id(session.store), (session.store, [], []))
                leases.append(held.lease)
                tasks.append(held)
        for store, unsettled in self._unsettled():
            old = [lease for lease in unsettled if lease.expires_at < young]
            if old:
                _, leases, tasks = by_store.setdefault(id(store), (store, [], []))
                leases += old
                tasks += [None] * len(old)
        failure: Exception | None = None
        for store, leases, tasks in by_store.values():
            # Errors of one queue, or of one client's part of the store, do not cost the others their leases.
            answers = await apply_each(partial(store.renew, lease=self._lease), leases)
            for task, answer in zip(tasks, answers, strict=True):
                if isinstance(answer, Exception):
                    failure = answer
                elif task is not None and not answer:
                    self._lose(task)
        await self._renew_batches()
        if failure is not None:
            raise failure
        return self._interval

    def _lose(self, held: HeldTask) -> None:
        """Ask the client to stop: another server may have the task. Without an end that came meanwhile."""
        if self._held.get(held.ref) is held:
            self._held.remove(held)
            held.session.push(cancellation(held.ref.id))
