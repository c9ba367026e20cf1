"""Rule 6: `renew` extends only leases that are still held, and says which."""

from __future__ import annotations

from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Action, Lease
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.builders import abandoned, entry, failed, message, settlement
from tests.conformance.helpers import get_task, ids, put, recover, snapshot, take


async def test_rule_6_a_renewed_lease_lasts_from_now(broker: Store, clock: FakeClock) -> None:
    # Given a lease of 30 seconds, 20 of which have passed
    await put(broker, entry("a"))
    [lease] = await take(broker, lease=30)
    clock.advance(20)
    # When it is renewed
    assert await broker.renew([lease], 30) == [True]
    # Then its `expires_at` is updated, and it does not expire at the old time
    assert lease.expires_at == clock.now() + 30
    clock.advance(29)
    assert (await broker.expired(["default"], 10)).leases == []
    clock.advance(1)
    assert [lease.message.id for lease in (await broker.expired(["default"], 10)).leases] == ["a"]


async def test_rule_6_a_renewal_can_shorten_a_lease(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker, lease=3000)
    assert await broker.renew([lease], 10) == [True]
    clock.advance(10)
    assert len((await broker.expired(["default"], 10)).leases) == 1


async def test_rule_6_renew_says_which_leases_are_still_held(broker: Store, clock: FakeClock) -> None:
    # Given five leases: held, settled, deferred, of a deleted task, and recovered
    await put(broker, *(entry(id, retention=0.0) for id in ("held", "done", "retry", "lost", "held2")))
    held, done, retry, lost, held2 = await take(broker, 5)
    await broker.settle([settlement(done, now=clock.now()), failed(retry, clock.now())])
    await broker.settle([abandoned(lost, clock.now())])
    await broker.move(Action.DELETE, [lost.message.ref])
    ghost = Lease(message("ghost"), clock.now() + 30, held.token)
    # When all are renewed
    clock.advance(7)
    answers = await broker.renew([done, held, ghost, retry, lost, held2], 60)
    # Then the answers are aligned, and only the held lease is extended
    assert answers == [False, True, False, False, False, True]
    assert held.expires_at == held2.expires_at == clock.now() + 60
    assert done.expires_at == retry.expires_at == lost.expires_at == clock.now() - 7 + 30


async def test_rule_6_an_empty_batch_has_no_answers(broker: Store) -> None:
    assert await broker.renew([], 30) == []


async def test_rule_6_a_stale_lease_does_not_renew_a_newer_one(broker: Store, clock: FakeClock) -> None:
    # Given a lease that expired and whose task was recovered and leased to another server
    await put(broker, entry("a"))
    [stale] = await take(broker, lease=10, owner="one")
    clock.advance(10)
    assert await recover(broker, clock) == [True]
    [fresh] = await take(broker, lease=30, owner="two")
    # When the first server renews
    assert await broker.renew([stale], 1000) == [False]
    # Then the lease of the second server is unchanged
    assert (await broker.expired(["default"], 10)).next_at == fresh.expires_at
    assert await broker.renew([fresh], 40) == [True]


async def test_rule_6_renewing_does_not_restore_a_finished_task(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a", retention=60.0))
    [lease] = await take(broker)
    await broker.settle([settlement(lease, now=clock.now())])
    before = await snapshot(broker)
    assert await broker.renew([lease], 30) == [False]
    assert await snapshot(broker) == before


async def test_rule_6_an_expired_lease_that_was_not_recovered_is_held(
    broker: Store, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker, lease=10)
    clock.advance(11)
    assert (await get_task(broker, "a")).is_orphaned
    assert await broker.renew([lease], 30) == [True]
    assert not (await get_task(broker, "a")).is_orphaned
    assert (await broker.expired(["default"], 10)).leases == []


async def test_rule_6_renewing_keeps_the_order_of_active_tasks(broker: Store) -> None:
    await put(broker, *map(entry, "abc"))
    first, *_ = await take(broker, 3)
    await broker.renew([first], 500)
    assert await ids(broker, TaskState.ACTIVE) == ["a", "b", "c"]


async def test_rule_6_renew_owner_renews_every_lease_of_that_server(broker: Store, clock: FakeClock) -> None:
    # Given tasks of two servers, in two queues
    await put(broker, *map(entry, "ab"), *(entry(id, queue="other") for id in "cd"))
    mine = [*await take(broker, 1, owner="me"), *await take(broker, 1, queues=["other"], owner="me")]
    await take(broker, 9, queues=["default", "other"], owner="you")
    clock.advance(20)
    # When the leases of one server are renewed
    assert await broker.renew_owner("me", 30) == 2
    # Then only those are extended
    clock.advance(10)
    expired = (await broker.expired(["default", "other"], 10)).leases
    assert sorted(lease.message.id for lease in expired) == ["b", "d"]
    assert await broker.renew(mine, 30) == [True, True]


async def test_rule_6_renew_owner_counts_only_tasks_still_active(broker: Store, clock: FakeClock) -> None:
    await put(broker, *map(entry, "abc"))
    one, two, _ = await take(broker, 3, owner="me")
    await broker.settle([settlement(one, now=clock.now()), failed(two, clock.now())])
    assert await broker.renew_owner("me", 30) == 1
    assert await broker.renew_owner("nobody", 30) == 0


async def test_rule_6_a_recovered_task_belongs_to_its_new_owner_only(broker: Store, clock: FakeClock) -> None:
    await put(broker, entry("a"))
    await take(broker, lease=10, owner="one")
    clock.advance(10)
    await recover(broker, clock)
    await take(broker, lease=10, owner="two")
    assert await broker.renew_owner("one", 1000) == 0
    assert await broker.renew_owner("two", 1000) == 1
