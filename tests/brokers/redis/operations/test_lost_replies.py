"""After a lost reply, a call may or may not have run: the broker finds out instead of guessing (B25)."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from benchmarks.network.proxy import DelayingProxy

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Fired, Replaced
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.brokers.redis.chunking import BATCH_SIZE
from asynqio.brokers.redis.connection.connection import Arg
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.scripts.script import Script
from asynqio.core.groups import GroupRule
from asynqio.core.schedules.firing import Fire
from asynqio.core.task.message import TaskState
from asynqio.core.task.task import Entry
from asynqio.errors import BrokerUnavailable
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import aborted, archived, entry, failed, settlement
from tests.conformance.helpers import find_task, get_task, ids, is_locked, put, state_of, take


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[DelayingProxy]:
    with DelayingProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def broker(proxy: DelayingProxy) -> AsyncIterator[Store]:
    async with open_broker(f"redis://127.0.0.1:{proxy.port}") as broker:
        yield broker


@pytest.fixture
async def worker(redis_server: RedisServer) -> AsyncIterator[Store]:
    """A broker with its own connection, which does not break."""
    async with open_broker(redis_server.url) as broker:
        yield broker


async def lose_the_reply(proxy: DelayingProxy, script: str, times: int = 1) -> None:
    """The next call of a script runs, and its connection breaks before the reply arrives."""
    await asyncio.to_thread(proxy.drop_replies, getattr(LUA, script).sha, times)


async def lost(proxy: DelayingProxy, replies: int) -> bool:
    return await asyncio.to_thread(proxy.dropped) == replies


async def lost_one(proxy: DelayingProxy) -> bool:
    return await lost(proxy, 1)


async def known(broker: Store) -> None:
    """Call the scripts once, so that they are loaded, and the next call is not an EVAL."""
    await put(broker, entry("known", retention=60.0))
    [lease] = await take(broker)
    await broker.settle([settlement(lease, now=broker.clock.now())])


def before_resending(
    broker: Store, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[object]], calls_sent: int = 1
) -> None:
    """Do something between the lost replies of a script and its further calls."""
    assert isinstance(broker, RedisBroker)
    redis, calls = broker._here.session.redis, Counter[str]()
    run = redis.run

    async def run_after_work(script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        await work()
        return await run(script, keys, args)

    def count(script: Script, keys: Sequence[str], args: Sequence[Arg], **options: bool) -> Awaitable[Any]:
        calls[script.name] += 1
        if calls[script.name] <= calls_sent:
            return run(script, keys, args, **options)
        return run_after_work(script, keys, args)

    monkeypatch.setattr(redis, "run", count)


async def finish_all(worker: Store) -> None:
    """Run every task, as a fast worker does. Its tasks are deleted."""
    await worker.forward(["default"], 100)
    for batch in (await worker.claim_groups(["default"], GroupRule(grace=-5.0), 9)).batches:
        merged = entry(f"merged-{batch.id}")
        assert await worker.merge_group(batch, merged) is Admission.ACCEPTED
    leases = await take(worker, 1_000)
    assert await worker.settle([settlement(lease) for lease in leases]) == [True] * len(leases)


@pytest.mark.parametrize(
    "one",
    [
        entry(),
        entry("a"),
        entry("a", at=1.0),
        entry("a", group="g"),
        entry("a", unique=60),
        entry("a", unique=60, until="started"),
        entry("a", unique=60, until="expired"),
        entry("known", replace_finished=True),
    ],
    ids=["generated id", "id", "delayed", "group", "unique", "until started", "throttle", "replace finished"],
)
async def test_a_task_that_has_run_is_not_admitted_again(
    broker: Store, worker: Store, proxy: DelayingProxy, monkeypatch: pytest.MonkeyPatch, one: Entry
) -> None:
    await known(broker)
    await lose_the_reply(proxy, "enqueue")
    before_resending(broker, monkeypatch, lambda: finish_all(worker))
    assert await broker.enqueue([one]) == [Admission.ACCEPTED]
    assert await lost_one(proxy)
    [stats] = await worker.stats(["default"])
    assert (stats.size - stats.completed, stats.processed_total) == (0, 2)


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_a_task_that_was_updated_and_has_run_is_not_admitted_again(
    broker: Store, worker: Store, proxy: DelayingProxy, monkeypatch: pytest.MonkeyPatch, on_duplicate: str
) -> None:
    await known(broker)
    await put(broker, entry("a", by=b"x", unique=60))
    await lose_the_reply(proxy, "enqueue")
    before_resending(broker, monkeypatch, lambda: finish_all(worker))
    new = entry("b", by=b"x", unique=60, on_duplicate=on_duplicate)
    assert await broker.enqueue([entry("c"), new, entry("known")]) == [
        Admission.ACCEPTED,
        Replaced("a"),
        Admission.ID_CONFLICT,
    ]
    assert await lost_one(proxy)
    [stats] = await worker.stats(["default"])
    assert (stats.size - stats.completed, stats.processed_total) == (0, 3)


async def test_a_merged_task_that_has_run_is_not_admitted_again(
    broker: Store, worker: Store, proxy: DelayingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(broker, *(entry(id, group="g") for id in "ab"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=-5.0), 9)).batches
    await lose_the_reply(proxy, "merge_group")
    before_resending(broker, monkeypatch, lambda: finish_all(worker))
    assert await broker.merge_group(batch, entry("merged")) is Admission.ACCEPTED
    assert await lost_one(proxy)
    [stats] = await worker.stats(["default"])
    assert (stats.size, stats.processed_total) == (0, 1)


async def test_a_resent_deletion_of_a_batch_is_accepted(broker: Store, proxy: DelayingProxy) -> None:
    await put(broker, *(entry(id, group="g") for id in "abc"))
    one = GroupRule(grace=-5.0, max_size=1)
    first, second, _ = (await broker.claim_groups(["default"], one, 9)).batches
    assert await broker.delete_batch(first)
    await lose_the_reply(proxy, "delete_batch")
    assert await broker.delete_batch(second)
    assert await lost_one(proxy)
    assert not await broker.delete_batch(second)
    [stats] = await broker.stats(["default"])
    assert stats.size == 1


async def test_each_task_of_a_large_batch_is_admitted_once(
    broker: Store, worker: Store, proxy: DelayingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three script calls are in flight when the connection breaks: some have run, some have not."""
    await known(broker)
    entries = [entry(f"t{number}") for number in range(2 * BATCH_SIZE + 1)]
    await lose_the_reply(proxy, "enqueue")
    before_resending(broker, monkeypatch, lambda: finish_all(worker), calls_sent=3)
    assert await broker.enqueue(entries) == [Admission.ACCEPTED] * len(entries)
    assert await lost_one(proxy)
    await finish_all(worker)
    [stats] = await worker.stats(["default"])
    assert stats.processed_total == 1 + len(entries)


async def test_a_resent_enqueue_does_not_conflict_with_itself(broker: Store, proxy: DelayingProxy) -> None:
    await known(broker)
    await lose_the_reply(proxy, "enqueue")
    assert await broker.enqueue([entry("a"), entry("b", unique=60)]) == [Admission.ACCEPTED] * 2
    assert await lost_one(proxy)
    assert await ids(broker, TaskState.PENDING) == ["a", "b"]


async def test_a_real_conflict_is_reported_after_a_lost_reply(broker: Store, proxy: DelayingProxy) -> None:
    await known(broker)
    await put(broker, entry("a", payload=b"first"), entry("holder", payload=b"u", unique=60))
    await lose_the_reply(proxy, "enqueue")
    answers = await broker.enqueue(
        [entry("a", payload=b"second"), entry("c", payload=b"u", unique=60), entry("d")]
    )
    assert await lost_one(proxy)
    assert answers == [Admission.ID_CONFLICT, Admission.DUPLICATE, Admission.ACCEPTED]


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
async def test_a_resent_update_of_a_started_task_does_not_enqueue_it_again(
    broker: Store, worker: Store, proxy: DelayingProxy, on_duplicate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an entry that updates a waiting task, and a lost reply
    await known(broker)
    await put(broker, entry("a", payload=b"old", by=b"x", unique=60))
    await lose_the_reply(proxy, "enqueue")
    # When it is sent again after the task has started
    before_resending(broker, monkeypatch, lambda: take(worker))
    new = entry("b", payload=b"new", by=b"x", unique=60, on_duplicate=on_duplicate)
    assert await broker.enqueue([new]) == [Replaced("a")]
    assert await lost_one(proxy)
    # Then it counts as the same update, and there is no second task
    assert await find_task(broker, "b") is None
    assert await ids(broker, TaskState.PENDING) == []


async def test_a_resent_replacement_of_a_finished_task_does_not_conflict_with_itself(
    broker: Store, proxy: DelayingProxy
) -> None:
    await known(broker)
    await lose_the_reply(proxy, "enqueue")
    again = entry("known", payload=b"new", replace_finished=True)
    assert (
        await broker.enqueue([again, entry("throttled", until="expired", unique=60)])
        == [Admission.ACCEPTED] * 2
    )
    assert await lost_one(proxy)
    assert (await get_task(broker, "known")).payload == b"new"


async def test_leases_of_a_lost_reply_are_found(broker: Store, proxy: DelayingProxy) -> None:
    await known(broker)
    await put(broker, *map(entry, "abc"))
    await lose_the_reply(proxy, "dequeue")
    leases = await take(broker, 2)
    assert await lost_one(proxy)
    assert [lease.message.id for lease in leases] == ["a", "b"]
    assert await broker.settle([settlement(lease) for lease in leases]) == [True, True]
    assert await ids(broker, TaskState.PENDING) == ["c"]


@pytest.mark.parametrize("retention", [0.0, 60.0])
async def test_a_resent_settlement_is_accepted(broker: Store, proxy: DelayingProxy, retention: float) -> None:
    await known(broker)
    one = entry("a", retention=retention, unique=60)
    await put(broker, one)
    [lease] = await take(broker)
    await lose_the_reply(proxy, "settle")
    assert await broker.settle([settlement(lease, now=broker.clock.now())]) == [True]
    assert await lost_one(proxy)
    assert await state_of(broker, "a") is (TaskState.COMPLETED if retention else None)
    assert not await is_locked(broker, one)
    [stats] = await broker.stats(["default"])
    assert stats.processed_total == 2  # counted once, beside the first one


@pytest.mark.parametrize("end", [failed, archived, aborted])
async def test_a_resent_settlement_is_accepted_in_every_state(
    broker: Store, proxy: DelayingProxy, end: object
) -> None:
    await known(broker)
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await lose_the_reply(proxy, "settle")
    assert await broker.settle([end(lease, broker.clock.now())]) == [True]  # type: ignore[operator]
    assert await lost_one(proxy)
    [stats] = await broker.stats(["default"])
    assert stats.failed_total == (0 if end is aborted else 1)
    assert stats.size == 2


async def test_a_resent_settlement_of_a_lost_lease_is_rejected(broker: Store, proxy: DelayingProxy) -> None:
    await known(broker)
    await put(broker, entry("a"))
    [lease] = await take(broker)
    await broker.settle([aborted(lease, broker.clock.now())])
    [other] = await take(broker, owner="another")
    await lose_the_reply(proxy, "settle")
    assert await broker.settle([failed(lease, broker.clock.now())]) == [False]
    assert await lost_one(proxy)
    assert await broker.settle([settlement(other)]) == [True]


async def test_a_resent_merge_does_not_conflict_with_itself(broker: Store, proxy: DelayingProxy) -> None:
    await put(broker, *(entry(id, group="g") for id in "ab"))
    [batch] = (await broker.claim_groups(["default"], GroupRule(grace=-5.0), 9)).batches
    await broker.merge_group(batch, entry("a"))  # rejected, but the script is loaded now
    await lose_the_reply(proxy, "merge_group")
    assert await broker.merge_group(batch, entry("merged")) is Admission.ACCEPTED
    assert await lost_one(proxy)
    assert await find_task(broker, "a") is None
    assert (await get_task(broker, "merged")).state is TaskState.PENDING


@pytest.mark.parametrize("retention", [0.0, 60.0])
async def test_settling_again_after_an_outage_is_accepted(
    broker: Store, proxy: DelayingProxy, retention: float
) -> None:
    await known(broker)
    await put(broker, entry("a", retention=retention))
    [lease] = await take(broker)
    end = settlement(lease, now=broker.clock.now())
    await lose_the_reply(proxy, "settle", times=2)
    with pytest.raises(BrokerUnavailable, match="may or may not"):
        await broker.settle([end])
    assert await lost(proxy, 2)
    assert await broker.settle([end]) == [True]
    [stats] = await broker.stats(["default"])
    assert stats.processed_total == 2  # counted once, beside the first one


async def test_a_lost_reply_of_one_queue_does_not_affect_others(broker: Store, proxy: DelayingProxy) -> None:
    await known(broker)
    await put(broker, entry("a"), entry("b", queue="other"))
    leases = await take(broker, 2, queues=["default", "other"])
    ends = [settlement(lease) for lease in leases]
    await lose_the_reply(proxy, "settle", times=2)
    with pytest.raises(BrokerUnavailable):
        await broker.settle(ends)
    assert await broker.settle(ends) == [True, True]


async def test_tasks_of_an_unconfirmed_dequeue_are_handed_back(broker: Store, proxy: DelayingProxy) -> None:
    """The reply to dequeue is lost, and then the replies to both searches for its token."""
    await known(broker)
    await put(broker, *map(entry, "abc"))
    await asyncio.to_thread(proxy.drop_replies, "asynq:{default}:active", 3)  # which both scripts name
    with pytest.raises(BrokerUnavailable):
        await take(broker, 2)
    assert await lost(proxy, 3)
    assert await ids(broker, TaskState.ACTIVE) == ["a", "b"]

    leases = await take(broker, 3)

    assert [lease.message.id for lease in leases] == ["a", "b", "c"]
    assert [lease.message.crashes for lease in leases] == [0, 0, 0]
    assert await broker.settle([settlement(lease) for lease in leases]) == [True] * 3


async def test_the_error_of_an_uncertain_enqueue_says_so(
    proxy: DelayingProxy,
) -> None:
    async with open_broker(f"redis://127.0.0.1:{proxy.port}?patience=0.5") as broker:
        await put(broker, entry("a"))
        await asyncio.to_thread(proxy.stall)
        sent = asyncio.create_task(broker.enqueue([entry("b")]))
        for _ in range(5):
            await asyncio.sleep(0)  # until it is sent
        await asyncio.to_thread(proxy.stop)
        with pytest.raises(BrokerUnavailable, match="may or may not"):
            await sent


async def test_a_failed_enqueue_leaves_no_unawaited_coroutine(proxy: DelayingProxy) -> None:
    async with open_broker(f"redis://127.0.0.1:{proxy.port}?patience=0.1") as broker:
        await asyncio.to_thread(proxy.stop)
        with pytest.raises(BrokerUnavailable):
            await broker.enqueue([entry("a")])
        gc.collect()  # a coroutine that was never awaited is a warning now, and warnings are errors


async def test_a_resent_fire_recognises_its_own_ticks(broker: Store, proxy: DelayingProxy) -> None:
    await known(broker)
    await put(broker, entry("b", unique=60))
    await lose_the_reply(proxy, "fire_schedules")
    fires = [
        Fire("one", 60, entry("a1")),
        Fire("one", 120, entry("a2")),
        Fire("two", 60, entry("c", unique=60)),
    ]
    assert await broker.fire(fires) == [
        Fired(Admission.ACCEPTED),
        Fired(Admission.ACCEPTED),
        Fired(Admission.DUPLICATE),
    ]
    assert await lost_one(proxy)
    assert await ids(broker, TaskState.PENDING) == ["b", "a1", "a2"]
    assert await broker.fire(fires) == [Fired(None)] * 3


async def test_a_failed_opening_leaves_nothing_open(proxy: DelayingProxy) -> None:
    before = asyncio.all_tasks()
    broker = open_broker(f"redis://127.0.0.1:{proxy.port}")
    await asyncio.to_thread(proxy.drop_replies, "EXISTS")
    with pytest.raises(BrokerUnavailable):
        async with broker:
            pass
    assert asyncio.all_tasks() == before
    async with broker:  # and it can be opened later
        assert await broker.queues() == []


@pytest.mark.parametrize("revision", [None, 1], ids=["any revision", "known revision"])
@pytest.mark.parametrize("data", [b"two", None], ids=["store", "delete"])
async def test_a_write_of_a_document_is_confirmed(
    broker: Store, proxy: DelayingProxy, data: bytes | None, revision: int | None
) -> None:
    await broker.put_document("tenants", "a", b"one")
    await lose_the_reply(proxy, "put_document")
    stored = await broker.put_document("tenants", "a", data, known=revision)
    assert await lost_one(proxy)
    assert await broker.collection("tenants") == (stored, {} if data is None else {"a": data})
