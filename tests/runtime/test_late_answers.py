"""A server whose dequeue is answered late, because its event loop is blocked or the reply is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asynqio import App, Server, TaskState
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.signals import pending
from asynqio.core.lifecycle import Lease
from asynqio.testing import Flaky
from tests.runtime.waiting import within

#: Seconds. Redis rounds leases up to whole seconds.
LEASE = 1.0


class LateAnswers(Flaky):
    """A broker whose dequeue takes tasks at once, but answers only when `release` is set."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.taken, self.release = asyncio.Event(), asyncio.Event()

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        leases = await self._store.dequeue(queues, limit, lease, owner, timed=timed)
        if leases:
            self.taken.set()
            await self.release.wait()
        return leases


async def test_tasks_in_an_unread_answer_keep_their_leases(app: App) -> None:
    late = LateAnswers(app.broker)
    runs: list[int] = []

    @app.task("work", retention=60)
    async def work() -> int:
        runs.append(1)
        return len(runs)

    handle = await work.enqueue()
    async with Server(late.broker, lease=LEASE).running(app.mux):
        await within(late.taken.wait())
        # Long enough for the lease to expire on every broker: this is the time that the loop would be blocked.
        await asyncio.sleep(3 * LEASE)
        expired = await app.broker.expired(["default"], 10)
        late.release.set()
        assert await within(handle.result()) == 1
    assert expired.leases == []
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (1, 0)


async def test_a_task_whose_lease_expired_before_its_answer_is_not_run_with_that_lease(app: App) -> None:
    late = LateAnswers(app.broker)
    runs: list[int] = []

    @app.task("work", retention=60)
    async def work() -> None:
        runs.append(1)

    handle = await work.enqueue()
    async with Server(late.broker, lease=LEASE).running(app.mux) as server:
        # Given a fetched task whose lease nobody could renew, so that it was recovered
        late.fail(float("inf"), "renew_owner")
        await within(late.taken.wait())
        with app.broker.watch([pending("default")]) as watch:
            while (await handle.refresh()).state is not TaskState.PENDING:
                assert await watch.wait(10)
        # When its answer arrives at last
        late.release.set()
        # Then it runs, once, with a lease that holds
        await within(handle.result())
        assert server.info().refused == 1, "the old lease was returned, and the broker refused it"
    assert runs == [1]
