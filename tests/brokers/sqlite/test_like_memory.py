"""Random sequences of calls: the SQLite broker answers as the memory broker does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Output
from asynqio.core.groups import GroupBatch, GroupRule
from asynqio.core.info import ServerInfo
from asynqio.core.lifecycle import Action, Lease, Settlement
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import unique_key

QUEUES = ("a", "b", "c")
STEPS = 400
#: A page that holds every task.
EVERYTHING = Page(1_000)


class ManualClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class Pair:
    """Two brokers, each with its own leases and batches, that run the same steps."""

    def __init__(self, stores: tuple[Store, Store], random: Random) -> None:
        self.stores = stores
        self.random = random
        self.leases: list[tuple[Lease, Lease]] = []
        self.batches: list[tuple[GroupBatch, GroupBatch]] = []
        self.ids = 0

    async def both(self, ask: Callable[[Store, int], Awaitable[Any]]) -> Any:
        """Call both (the number is the index of the store) and compare; returns the memory broker's answer."""
        answers = [await ask(store, which) for which, store in enumerate(self.stores)]
        assert answers[1] == answers[0]
        return answers[0]

    def entry(self) -> Entry:
        random = self.random
        self.ids += random.random() < 0.9
        queue, payload = random.choice(QUEUES), random.choice([None, b"x", b"y"])
        state = random.choice(
            [TaskState.PENDING, TaskState.PENDING, TaskState.SCHEDULED, TaskState.AGGREGATING]
        )
        unique = random.random() < 0.3
        message = TaskMessage(
            f"t{self.ids}",
            "kind",
            queue,
            payload,
            unique_key=unique_key(queue, "kind", payload) if unique else "",
            group=random.choice(["g", "h"])
            if state is TaskState.AGGREGATING or (random.random() < 0.1 and state is TaskState.SCHEDULED)
            else "",
        )
        now = self.stores[0].clock.now()
        return Entry(message, state, now + random.choice([-1, 0, 5, 5, 20]), 30.0 if unique else 0.0)

    def refs(self) -> list[TaskRef]:
        return [
            TaskRef(self.random.choice(QUEUES), f"t{self.random.randint(0, self.ids + 1)}")
            for _ in range(self.random.randint(1, 12))
        ]

    def settlement(self, which: int, lease: Lease, now: float, choice: int) -> Settlement:
        message = lease.message
        failed = msgspec.structs.replace(message, retried=message.retried + 1, last_error="no")
        match choice:
            case 0 | 1:
                return Settlement(lease, None, message, processed=True)
            case 2:
                return Settlement(lease, TaskState.COMPLETED, message, now + 10, processed=True, result=b"r")
            case 3:
                return Settlement(lease, TaskState.RETRY, failed, now + 5, processed=True, failed=True)
            case 4:
                return Settlement(lease, TaskState.ARCHIVED, failed, now, processed=True, failed=True)
            case 5:
                return Settlement(lease, TaskState.PENDING, failed, processed=True, failed=True)
        return Settlement(lease, TaskState.PENDING, message)

    def some_leases(self) -> list[tuple[Lease, Lease]]:
        return self.random.sample(self.leases, min(len(self.leases), self.random.randint(0, 6)))

    # --- steps ------------------------------------------------------------------------------------

    async def enqueue(self) -> None:
        entries = [self.entry() for _ in range(self.random.randint(1, 8))]
        await self.both(lambda store, _: store.enqueue(entries))

    async def dequeue(self) -> None:
        queues = self.random.sample(QUEUES, 2)
        limit, owner = self.random.randint(0, 6), self.random.choice(["me", "you"])
        mine, other = [await store.dequeue(queues, limit, 15, owner) for store in self.stores]
        assert plain(mine) == plain(other)
        self.leases += zip(mine, other, strict=True)

    async def settle(self) -> None:
        chosen = [(pair, self.random.randint(0, 6)) for pair in self.some_leases()]
        now = self.stores[0].clock.now()
        await self.both(
            lambda store, which: store.settle(
                [self.settlement(which, pair[which], now, choice) for pair, choice in chosen]
            )
        )

    async def renew(self) -> None:
        chosen = self.some_leases()
        await self.both(lambda store, which: store.renew([pair[which] for pair in chosen], 20))
        assert [pair[0].expires_at for pair in chosen] == [pair[1].expires_at for pair in chosen]

    async def renew_owner(self) -> None:
        await self.both(lambda store, _: store.renew_owner("me", 25))

    async def write_output(self) -> None:
        chosen = self.some_leases()
        await self.both(
            lambda store, which: store.write_output([Output(pair[which], b"result", b"1") for pair in chosen])
        )

    async def forward(self) -> None:
        limit = self.random.randint(0, 10)
        await self.both(lambda store, _: store.forward(QUEUES, limit))

    async def expired(self) -> None:
        limit = self.random.randint(0, 10)
        mine, other = [await store.expired(QUEUES, limit) for store in self.stores]
        assert plain(mine.leases) == plain(other.leases)
        assert mine.next_at == other.next_at
        if self.random.random() < 0.5:
            self.leases += zip(mine.leases, other.leases, strict=True)

    async def sweep(self) -> None:
        limit = self.random.randint(0, 5)
        await self.both(lambda store, _: store.sweep(QUEUES, limit))

    async def claim(self) -> None:
        rule = GroupRule(
            self.random.choice([3, 10]), self.random.choice([0, 15]), self.random.choice([0, 2, 4])
        )
        mine, other = [await store.claim_groups(QUEUES, rule, 100) for store in self.stores]

        def known(batch: GroupBatch) -> Any:
            return batch.queue, batch.group, list(batch.messages), batch.expires_at

        # The order of groups is not specified.
        first, second = [
            sorted(claimed.batches, key=lambda b: (b.queue, b.group)) for claimed in (mine, other)
        ]
        assert [known(batch) for batch in first] == [known(batch) for batch in second]
        assert mine.next_at == other.next_at
        self.batches += zip(first, second, strict=True)

    async def merge(self) -> None:
        if self.batches:
            pair = self.random.choice(self.batches)
            self.ids += 1
            merged = Entry(TaskMessage(f"t{self.ids}", "merged", pair[0].queue))
            await self.both(lambda store, which: store.merge_group(pair[which], merged))

    async def move(self) -> None:
        action, refs = self.random.choice(list(Action)), self.refs()
        await self.both(lambda store, _: store.move(action, refs))

    async def move_all(self) -> None:
        action, state = self.random.choice(list(Action)), self.random.choice(list(TaskState))
        where = Where(self.random.choice(QUEUES), state, self.random.choice(["", "g"]))
        if where.queue in await self.stores[0].queues():
            await self.both(lambda store, _: store.move_all(action, where))

    async def rewrite(self) -> None:
        payloads = {ref: self.random.choice([b"x", b"z"]) for ref in self.refs()}
        await self.both(lambda store, _: store.rewrite(payloads))

    async def pause(self) -> None:
        queue, paused = self.random.choice(QUEUES), self.random.random() < 0.4
        await self.both(lambda store, _: store.pause(queue, paused))

    async def remove_queue(self) -> None:
        if self.random.random() < 0.9:
            return
        queue, force = self.random.choice(QUEUES), self.random.random() < 0.7

        async def ask(store: Store, _: int) -> str:
            try:
                await store.remove_queue(queue, force=force)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            return ""

        await self.both(ask)

    async def beat(self) -> None:
        server = ServerInfo(self.random.choice("xyz"), "host", 1, self.stores[0].clock.now(), {"a": 1})
        ttl = self.random.choice([5.0, 30.0])
        if self.random.random() < 0.3:
            await self.both(lambda store, _: store.leave(server))
        else:
            await self.both(lambda store, _: store.beat(server, ttl))
        await self.both(lambda store, _: store.servers())

    async def compare(self) -> None:
        queues = await self.both(lambda store, _: store.queues())
        await self.both(lambda store, _: store.stats(queues))
        await self.both(lambda store, _: store.find([TaskRef(q, f"t{n}") for q in QUEUES for n in range(9)]))
        for queue in queues:
            await self.both(lambda store, _, queue=queue: store.history(queue, 3))  # type: ignore[misc]
            await self.both(lambda store, _, queue=queue: store.groups(queue))  # type: ignore[misc]
            for state in TaskState:
                where = Where(queue, state)
                await self.both(lambda store, _, where=where: store.tasks(where, EVERYTHING))  # type: ignore[misc]


def plain(leases: list[Lease]) -> list[Any]:
    """Leases without their tokens, which are private to each broker."""
    return [(lease.message, lease.expires_at) for lease in leases]


@pytest.mark.parametrize("seed", range(6))
async def test_the_same_steps_give_the_same_answers(tmp_path: Path, seed: int) -> None:
    clock, random = ManualClock(), Random(seed)
    stores = (
        open_broker("memory://", clock=clock),
        open_broker(f"sqlite:///{tmp_path}/tasks.db", clock=clock),
    )
    async with stores[0], stores[1]:
        pair = Pair(stores, random)
        frequent = [pair.enqueue] * 6 + [pair.dequeue] * 5 + [pair.settle] * 5
        rare = [pair.renew, pair.renew_owner, pair.write_output, pair.forward, pair.forward, pair.expired]
        rare += [pair.sweep, pair.claim, pair.merge, pair.move, pair.move_all, pair.rewrite]
        rare += [pair.pause, pair.remove_queue, pair.beat]
        for number in range(STEPS):
            await random.choice(frequent + rare)()
            clock.time += random.choice([0, 0, 0.5, 2, 7])
            if number % 5 == 0:
                await pair.compare()
        await pair.compare()
