"""A connection breaks at the worst moment: no call is lost, none runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract import signals
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Admission, Cancellation
from asynqio.brokers.remote.broker import RemoteBroker
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import BrokerUnavailable
from tests.brokers.remote.support.gateway import GatewayServer
from tests.brokers.remote.support.proxy import Proxy
from tests.builders import entry, settlement
from tests.conformance.helpers import EVERYTHING, ids, put, take

T = TypeVar("T")
#: Seconds after which a wait fails: only a broken build gets there.
LIMIT = 30.0


async def with_lost_answer(proxy: Proxy, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Make a call whose answer is lost, and break the connection."""
    proxy.lose_answers = True
    task = asyncio.create_task(call)
    await asyncio.wait_for(proxy.lost.wait(), LIMIT)
    proxy.cut()
    return task


async def with_lost_call(proxy: Proxy, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Make a call that does not arrive, and break the connection."""
    proxy.lose_calls = True
    task = asyncio.create_task(call)
    await asyncio.wait_for(proxy.lost.wait(), LIMIT)
    proxy.cut()
    return task


async def test_an_enqueue_whose_answer_is_lost_is_answered_after_all(
    broker: RemoteBroker, proxy: Proxy, store: Store
) -> None:
    call = await with_lost_answer(proxy, broker.enqueue([entry("a")]))
    assert await call == [Admission.ACCEPTED]
    assert await ids(store, TaskState.PENDING) == ["a"]
    assert proxy.connections == 2


async def test_a_task_that_is_gone_already_is_not_enqueued_again(
    broker: RemoteBroker, proxy: Proxy, store: Store
) -> None:
    """The worst case of repeating: the first call was applied, and the task has run and is deleted."""
    proxy.lose_answers = True
    call = asyncio.create_task(broker.enqueue([entry("a")]))
    await asyncio.wait_for(proxy.lost.wait(), LIMIT)
    [lease] = await take(store)
    assert await store.settle([settlement(lease)]) == [True]
    proxy.cut()
    assert await call == [Admission.ACCEPTED]
    assert (await store.stats(["default"]))[0].size == 0


async def test_a_call_that_did_not_arrive_is_sent_again(
    broker: RemoteBroker, proxy: Proxy, store: Store
) -> None:
    call = await with_lost_call(proxy, broker.enqueue([entry("a")]))
    assert await call == [Admission.ACCEPTED]
    assert await ids(store, TaskState.PENDING) == ["a"]


async def test_leases_whose_answer_is_lost_arrive_after_all(
    broker: RemoteBroker, proxy: Proxy, store: Store
) -> None:
    await put(broker, *map(entry, "abc"))
    call = await with_lost_answer(proxy, take(broker, 3))
    leases = await call
    assert [lease.message.id for lease in leases] == ["a", "b", "c"]
    assert await broker.settle([settlement(lease) for lease in leases]) == [True] * 3


async def test_a_settlement_whose_answer_is_lost_is_applied_once(
    broker: RemoteBroker, proxy: Proxy, store: Store
) -> None:
    await put(broker, entry("a", retention=60.0))
    [lease] = await take(broker)
    call = await with_lost_answer(proxy, broker.settle([settlement(lease)]))
    assert await call == [True]
    assert (await store.stats(["default"]))[0].processed_total == 1


async def test_many_calls_over_many_breaks(broker: RemoteBroker, proxy: Proxy, store: Store) -> None:
    async def produce(number: int) -> None:
        for at in range(20):
            assert await broker.enqueue([entry(f"{number}-{at}")]) == [Admission.ACCEPTED]

    producers = [asyncio.create_task(produce(number)) for number in range(10)]
    for _ in range(5):
        await asyncio.wait(producers, timeout=0.02)
        proxy.cut()
    await asyncio.wait_for(asyncio.gather(*producers), LIMIT)
    assert len(await ids(store, TaskState.PENDING)) == 200


async def test_a_cancelled_dequeue_is_handed_back_after_the_break(
    broker: RemoteBroker, proxy: Proxy, store: Store
) -> None:
    await put(broker, entry("a"))
    proxy.lose_answers = True
    call = asyncio.create_task(take(broker))
    await asyncio.wait_for(proxy.lost.wait(), LIMIT)
    call.cancel()
    with store.watch([signals.pending("default")]) as watch:
        proxy.cut()
        await asyncio.gather(call, return_exceptions=True)
        assert call.cancelled()
        while await ids(store, TaskState.PENDING) != ["a"]:
            assert await watch.wait(LIMIT)


# --- the session is gone --------------------------------------------------------------------------


async def end_sessions(gateway: GatewayServer) -> None:
    """Let the gateway forget all sessions, as if it was started again."""
    loop = gateway.app.loop
    assert loop is not None
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(gateway.app.sessions.close(), loop))


async def test_without_a_session_a_lost_enqueue_is_not_repeated(
    broker: RemoteBroker, proxy: Proxy, store: Store, gateway: GatewayServer
) -> None:
    proxy.lose_answers = True
    call = asyncio.create_task(broker.enqueue([entry("a")]))
    await asyncio.wait_for(proxy.lost.wait(), LIMIT)
    await end_sessions(gateway)
    proxy.cut()
    with pytest.raises(BrokerUnavailable, match="may or may not have run"):
        await call
    assert await ids(store, TaskState.PENDING) == ["a"]
    await put(broker, entry("b"))


async def test_without_a_session_a_lost_question_is_repeated(
    broker: RemoteBroker, proxy: Proxy, gateway: GatewayServer
) -> None:
    await put(broker, entry("a"))
    proxy.lose_answers = True
    call = asyncio.create_task(broker.queues())
    await asyncio.wait_for(proxy.lost.wait(), LIMIT)
    await end_sessions(gateway)
    proxy.cut()
    assert await call == ["default"]


async def test_without_a_session_a_lost_settlement_says_that_it_is_repeated(
    broker: RemoteBroker, proxy: Proxy, gateway: GatewayServer
) -> None:
    await put(broker, entry("a"))
    [lease] = await take(broker)
    proxy.lose_answers = True
    call = asyncio.create_task(broker.settle([settlement(lease)]))
    await asyncio.wait_for(proxy.lost.wait(), LIMIT)
    await end_sessions(gateway)
    proxy.cut()
    with pytest.raises(BrokerUnavailable):
        await call
    assert lease.unconfirmed


async def test_watches_are_notified_and_go_on_after_a_break(
    broker: RemoteBroker, proxy: Proxy, store: Store, gateway: GatewayServer
) -> None:
    for end in (False, True):
        with broker.watch([signals.pending("default")]) as watch:
            await broker.ping()
            watch.clear()
            if end:
                await end_sessions(gateway)
            proxy.cut()
            await put(store, entry(f"during-{end}"))
            assert await watch.wait(LIMIT)
            await broker.ping()
            while await watch.wait(0):
                pass
            await put(store, entry(f"after-{end}"))
            assert await watch.wait(LIMIT)


async def test_cancellations_arrive_after_a_break(
    broker: RemoteBroker, proxy: Proxy, store: Store, gateway: GatewayServer
) -> None:
    async with aclosing(broker.cancellations()) as requests:  # type: ignore[type-var]
        for end in (False, True):
            waiting = asyncio.ensure_future(anext(requests))
            await broker.ping()
            if end:
                await end_sessions(gateway)
            proxy.cut()
            await broker.ping()
            await broker.ping()  # behind what the client sends after a hello
            await broker.cancel([TaskRef("default", "a")])
            assert await asyncio.wait_for(waiting, LIMIT) == Cancellation(TaskRef("default", "a"))


async def test_the_gateway_does_not_watch_for_closed_watches(
    broker: RemoteBroker, gateway: GatewayServer
) -> None:
    watches = [broker.watch([signals.pending(f"queue-{number % 3}")]) for number in range(30)]
    await broker.ping()
    [session] = gateway.app.all_sessions()
    assert session.watching == 3
    for watch in watches:
        watch.close()
    await broker.ping()
    await broker.ping()
    assert session.watching == 0


# --- the gateway does not answer ------------------------------------------------------------------


async def test_calls_fail_when_the_gateway_is_away(store: Store, gateway: GatewayServer) -> None:
    async with Proxy(gateway.port) as proxy, open_broker(f"{proxy.url}?patience=0.2") as broker:
        proxy._server.close()
        proxy.cut()
        with pytest.raises(BrokerUnavailable, match=r"cannot be reached for 0.2 s|may or may not have run"):
            await asyncio.gather(*(broker.ping() for _ in range(3)))
        with pytest.raises(
            BrokerUnavailable, match=r"cannot be reached for 0.2 s .*: check that it is running"
        ):
            await broker.queues()


async def test_a_silent_connection_is_replaced(store: Store, gateway: GatewayServer) -> None:
    async with Proxy(gateway.port) as proxy, open_broker(f"{proxy.url}?timeout=0.5") as broker:
        proxy.lose_answers = True
        proxy.connected.clear()
        call = asyncio.create_task(broker.queues())
        await asyncio.wait_for(proxy.connected.wait(), LIMIT)
        proxy.cut()
        assert await call == []


async def test_an_overdue_dequeue_is_handed_back_when_it_is_answered(
    store: Store, gateway: GatewayServer
) -> None:
    async with Proxy(gateway.port) as proxy:
        url = f"{proxy.url}?call_timeout=0.2&timeout=20&patience=20"
        async with open_broker(url) as broker:
            await put(broker, entry("a"))
            proxy.lose_answers = True
            with pytest.raises(BrokerUnavailable, match=r"did not answer dequeue within 0\.2 s"):
                await take(broker)
            with store.watch([signals.pending("default")]) as watch:
                proxy.cut()
                while await store.tasks(Where("default", TaskState.ACTIVE), EVERYTHING):
                    assert await watch.wait(LIMIT)
            assert await ids(store, TaskState.PENDING) == ["a"]


async def test_a_gateway_that_is_away_at_first(gateway: GatewayServer, store: Store) -> None:
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        async with open_broker("ws://127.0.0.1:9?patience=0.2"):
            pass
    with pytest.raises(BrokerUnavailable, match="not open"):
        await open_broker("ws://127.0.0.1:9").queues()
