"""Transfers on Redis have steps, because two queues may be on two servers. Failures between the steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from asynqio.brokers.contract.results import Admission, Moved
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.brokers.redis.operations.transfer import INTERRUPTED_AFTER
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.brokers.redis.scripts.script import Script
from asynqio.brokers.redis.session import Session
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import BrokerUnavailable
from asynqio.testing import FakeClock
from tests.brokers.redis.support.go_client import GoClient, key
from tests.builders import entry, settlement
from tests.conformance.helpers import find_task, ids, is_locked, put, snapshot, state_of, take

A = TaskRef("default", "a")
#: The calls of one transfer: inspect and prepare in both queues, commit in both, finish.
STEPS, LIVE = 7, 6


class Dies:
    """The caller dies before a call, or before it has the reply."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._repeat = Session.run_idempotent

    def at(self, step: int, *, after: bool) -> None:
        left, run_idempotent = step, self._repeat

        async def call(session: Session, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
            nonlocal left
            if script not in (LUA.transfer_out, LUA.transfer_in):
                return await run_idempotent(session, script, keys, args)
            left -= 1
            if not left and not after:
                raise BrokerUnavailable("dead")
            answer = await run_idempotent(session, script, keys, args)
            if not left:
                raise BrokerUnavailable("dead")
            return answer

        self._patch.setattr(Session, "run_idempotent", call)

    def no_more(self) -> None:
        self._patch.setattr(Session, "run_idempotent", self._repeat)


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Dies:
    return Dies(monkeypatch)


async def takeable(broker: RedisBroker) -> list[str]:
    """The queues from which the task is dequeued."""
    return [lease.message.queue for lease in await take(broker, 10, queues=["default", "other"])]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_a_repeated_call_completes_an_interrupted_transfer(
    broker: RedisBroker, dies: Dies, step: int, after: bool, clock: FakeClock
) -> None:
    # Given a caller that dies between two steps
    await put(broker, entry("a", payload=b"1", unique=600))
    dies.at(step, after=after)
    with pytest.raises(BrokerUnavailable):
        await broker.transfer([A], "other")
    dies.no_more()
    # Then the task exists
    there = [await find_task(broker, "a", queue) for queue in ("default", "other")]
    assert any(there)
    # When a caller starts again
    answer = await broker.transfer([A], "other")
    # Then it is only in the target queue, with its lock, and is dequeued once
    done = (step, after) >= (LIVE, True)
    assert answer == [Moved.NOT_FOUND if done else Moved.DONE]
    assert await is_locked(broker, entry(queue="other", payload=b"1", unique=60))
    assert not await is_locked(broker, entry(payload=b"1", unique=60))
    assert await takeable(broker) == ["other"]
    assert await find_task(broker, "a") is None
    await snapshot(broker)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
async def test_a_server_completes_an_abandoned_transfer(
    broker: RedisBroker, dies: Dies, go: GoClient, step: int, after: bool, clock: FakeClock
) -> None:
    await put(broker, entry("a"))
    dies.at(step, after=after)
    with pytest.raises(BrokerUnavailable):
        await broker.transfer([A], "other")
    dies.no_more()
    clock.advance(INTERRUPTED_AFTER + 1)
    for queue in ("other", "default"):
        await broker.sweep([queue], 10)
        clock.advance(11)
    assert len(await takeable(broker)) == 1
    assert not [name for name in await go("KEYS", "*") if b"moving" in name]


class Turns:
    """Several concurrent callers, whose calls are interleaved in a given order; some of them die."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waiting: dict[asyncio.Task[Any], asyncio.Future[bool]] = {}
        self._arrived = asyncio.Event()
        run_idempotent = Session.run_idempotent

        async def call(session: Session, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
            caller = asyncio.current_task()
            if (
                script in (LUA.transfer_out, LUA.transfer_in)
                and caller is not None
                and caller.get_name() == "caller"
            ):
                turn = self._waiting[caller] = asyncio.get_running_loop().create_future()
                self._arrived.set()
                if not await turn:
                    raise BrokerUnavailable("dead")
            return await run_idempotent(session, script, keys, args)

        monkeypatch.setattr(Session, "run_idempotent", call)

    async def at_a_call(self, callers: Sequence[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
        """The callers that are not done, as soon as each of them waits to make a call."""
        while left := [caller for caller in callers if not caller.done()]:
            if all(caller in self._waiting for caller in left):
                return left
            self._arrived.clear()
            arrival = asyncio.ensure_future(self._arrived.wait())
            await asyncio.wait([arrival, *left], return_when=asyncio.FIRST_COMPLETED)
            arrival.cancel()
        return []

    def go(self, caller: asyncio.Task[Any], *, lives: bool) -> None:
        self._waiting.pop(caller).set_result(lives)


@pytest.mark.parametrize("seed", range(100))
async def test_concurrent_transfers_move_a_task_once(
    broker: RedisBroker, monkeypatch: pytest.MonkeyPatch, go: GoClient, clock: FakeClock, seed: int
) -> None:
    # Given three callers that transfer a task, while a server dequeues what it can
    random, turns, taken = Random(seed), Turns(monkeypatch), list[str]()
    deadly = random.choice([0.0, 0.1])

    async def work() -> None:
        for lease in await take(broker, 10, queues=["other"]):
            taken.append(lease.message.id)
            await broker.settle([settlement(lease, now=clock.now())])

    await put(broker, entry("a", payload=b"1", unique=600))
    callers = [asyncio.create_task(broker.transfer([A], "other"), name="caller") for _ in range(3)]
    while left := await turns.at_a_call(callers):
        turns.go(random.choice(left), lives=random.random() >= deadly)
        await turns.at_a_call(callers)
        await work()
        if (
            random.random() < 0.1
        ):  # servers complete interrupted transfers, whether the caller is dead or late
            clock.advance(INTERRUPTED_AFTER + 11)
            await broker.sweep(["default"], 10)
            await broker.sweep(["other"], 10)
            await work()
    # Then the task is dequeued once, after servers have completed the interrupted transfers
    answers = await asyncio.gather(*callers, return_exceptions=True)
    for queue in ("other", "default", "other"):
        clock.advance(INTERRUPTED_AFTER + 11)
        await broker.sweep([queue], 10)
    await work()
    home = [lease.message.id for lease in await take(broker, 10, queues=["default"])]
    assert sorted(taken + home) == ["a"], answers
    assert [name for name in await go("KEYS", "*") if b"moving" in name or b"unique" in name] == (
        [key("unique:email:send:c4ca4238a0b923820dcc509a6f75849b").encode()] if home else []
    )


async def test_a_task_in_transfer_is_hidden_from_servers_and_operators(
    broker: RedisBroker, dies: Dies, go: GoClient, clock: FakeClock
) -> None:
    # Given a task in transfer, present in both queues
    await put(broker, entry("a"))
    dies.at(5, after=False)
    with pytest.raises(BrokerUnavailable):
        await broker.transfer([A], "other")
    dies.no_more()
    # Then no server can dequeue it, and no operator can act on it
    assert await takeable(broker) == []
    for queue in ("default", "other"):
        for action in Action:
            assert await broker.move(action, [TaskRef(queue, "a")]) == [Moved.WRONG_STATE]
        assert await broker.rewrite({TaskRef(queue, "a"): b"2"}) == [Moved.WRONG_STATE]
    # nor transfer it elsewhere, and its id stays reserved
    assert await broker.transfer([A], "third") == [Moved.WRONG_STATE]
    assert await broker.enqueue([entry("a")]) == [Admission.ID_CONFLICT]


async def test_a_new_task_with_the_same_id_is_not_confused_with_the_old_one(
    broker: RedisBroker, dies: Dies, clock: FakeClock
) -> None:
    # Given a transfer that was interrupted after the first commit, and a new task in the source queue
    await put(broker, entry("a", payload=b"old"))
    dies.at(LIVE, after=False)
    with pytest.raises(BrokerUnavailable):
        await broker.transfer([A], "other")
    dies.no_more()
    await put(broker, entry("a", payload=b"new"))
    # When a caller starts again
    assert await broker.transfer([A], "other") == [Moved.ID_CONFLICT]
    # Then both tasks exist in the end
    clock.advance(INTERRUPTED_AFTER + 1)
    await broker.sweep(["other"], 10)
    held = await take(broker, 10, queues=["default", "other"])
    assert {(lease.message.queue, lease.message.payload) for lease in held} == {
        ("default", b"new"),
        ("other", b"old"),
    }


async def test_unknown_hash_fields_are_transferred(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, entry("a"))
    await go("HSET", key("t:a"), "asynqio:private", b"\x00\xff", "theirs", "1")
    await broker.transfer([A], "other")
    there = await go.task("a", "other")
    assert (there["asynqio:private"], there["theirs"]) == (b"\x00\xff", b"1")
    assert "asynqio:moving" not in there
    assert await go.places("a", "other") == ["pending"]
    assert await go.names() == []


async def test_an_unreadable_task_is_not_transferred(broker: RedisBroker, go: GoClient) -> None:
    await put(broker, entry("a"))
    await go("HSET", key("t:a"), "msg", b"\xff\xff")
    assert await broker.transfer([A], "other") == [Moved.WRONG_STATE]
    assert await go.places("a") == ["pending"]


async def test_a_transferred_task_looks_to_go_like_its_own(
    broker: RedisBroker, go: GoClient, clock: FakeClock
) -> None:
    await put(broker, entry("a", at=clock.now() + 30))
    await broker.transfer([A], "other")
    assert (await go.message("a", "other")).queue == "other"
    await go.forward("a", queue="other")
    assert await go.dequeue("other") == "a"
    assert await ids(broker, TaskState.ACTIVE, "other") == ["a"]
    await go.finish("a", "other")
    assert await state_of(broker, "a", "other") is None
