"""Whatever a tenant does, it neither reads, changes, counts nor notifies anything of another one.

`ASYNQIO_MODEL_EXAMPLES=2000` makes a long run.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Output
from asynqio.brokers.contract.signals import changed, due, ended, grouped, pending, types
from asynqio.brokers.memory.broker import MemoryBroker
from asynqio.core.access.grants import FULL_ACCESS
from asynqio.core.access.scope import Scope
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupRule
from asynqio.core.info import ScheduleInfo, SchedulerInfo, ServerInfo, WorkerInfo
from asynqio.core.lifecycle import Action, Lease, Settlement
from asynqio.core.schedules.firing import Fire, FireEvent
from asynqio.core.task.message import TaskMessage, TaskRef, TaskState
from asynqio.core.task.unique import unique_key
from asynqio.errors import AsynqioError
from asynqio.gateway.stores.coalescing import CoalescingStore
from asynqio.gateway.stores.scoped.permissions import NEEDS
from asynqio.gateway.stores.scoped.store import ScopedStore
from asynqio.testing import FakeClock
from tests.brokers.redis.support.fixtures import fresh_server
from tests.builders import entry, failed, server_info, settlement
from tests.conformance.conftest import make_store

#: The tenant that acts, and the others: their prefixes contain each other. "" is the queues without a prefix.
ATTACKER, VICTIMS = "t1", ("t", "t1x", "1", "x.t1", "")
#: In everything of a victim: an answer or an error that contains it has leaked.
CANARY = "SECRET"
YEAR = 365 * 86_400.0
S = TaskState
EXAMPLES = os.environ.get("ASYNQIO_MODEL_EXAMPLES", "")
#: Without shrinking, which takes minutes; the steps of a failure are few enough to read.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


def own(prefix: str, name: str) -> str:
    return f"{prefix}:{name}" if prefix else name


def names_of(victim: str) -> list[str]:
    """The queues of a victim, and names by which an attacker could hope to reach them."""
    return [own(victim, "mail"), own(victim, CANARY), f"{ATTACKER}:{own(victim, 'mail')}"]


#: Names of queues that the attacker tries, besides its own: those of the victims as they are stored, and texts that
#: could break out of a prefix or of a key.
QUEUES = [
    "mail",
    "low",
    *(name for victim in VICTIMS for name in names_of(victim)[::2]),
    *(
        "",
        ":",
        "x:mail",
        "1x:mail",
        "../t/mail",
        "}:t:mail",
        "{t}:mail",
        "mail}:unique:x",
        "*",
        "t\x00mail",
        "ｔ1:mail",
    ),
]
queues = st.sampled_from(QUEUES)
some_queues = st.lists(queues, min_size=1, max_size=3, unique=True)
#: Ids of tasks, groups, schedules and servers: the same for everyone.
task_ids = st.sampled_from(["a", "b", "c", "d", "run", "m", "t:a", "x"])
groups = st.sampled_from(["g", "h", "t:g"])
schedule_ids = st.sampled_from(["report", "t:report", "t1x:report", f"/t1x:{CANARY}"])
server_ids = st.sampled_from(["server", "/t1x:server", "/t:server", "t1x:server", "host:1:x", "/"])
keys = st.builds(unique_key, queues, st.just("work"), st.sampled_from([None, b"1"]))
states = st.sampled_from(list(TaskState))


@dataclasses.dataclass
class World:
    """A store that all tenants use, and what the attacker has: its own leases and batches, and the ids and tokens of
    those of the victims."""

    whole: Store
    store: Store
    stolen: list[Lease]
    batches: list[GroupBatch]
    held: list[Lease] = dataclasses.field(default_factory=list)

    def lease(self, data: st.DataObject) -> Lease:
        """A lease of its own, or one of a victim with a queue that it can name."""
        lease = data.draw(st.sampled_from([*self.held, *self.stolen]))
        if lease in self.held and data.draw(st.booleans()):
            return lease
        id = data.draw(task_ids | st.just(lease.message.id))
        message = TaskMessage(id, "work", data.draw(queues))
        return Lease(message, lease.expires_at, lease.token)

    def batch(self, data: st.DataObject) -> GroupBatch:
        return msgspec.structs.replace(
            data.draw(st.sampled_from(self.batches)),
            queue=data.draw(queues),
            group="g",
            messages=[],
            failure=None,
        )

    def where(self, data: st.DataObject) -> Where:
        return Where(data.draw(queues), data.draw(states), data.draw(groups | st.just("")))

    def refs(self, data: st.DataObject) -> list[TaskRef]:
        return data.draw(st.lists(st.builds(TaskRef, queues, task_ids), min_size=1, max_size=3))

    def entry(self, data: st.DataObject) -> Any:
        made = entry(
            data.draw(task_ids),
            type="work",
            queue=data.draw(queues),
            payload=data.draw(st.sampled_from([None, b"1"])),
            group=data.draw(groups | st.just("")),
            unique=data.draw(st.sampled_from([0.0, 60.0])),
            on_duplicate=data.draw(st.sampled_from(["reject", "replace", "reschedule"])),
            replace_finished=data.draw(st.booleans()),
        )
        if made.message.unique_key and data.draw(st.booleans()):
            message = msgspec.structs.replace(made.message, unique_key=data.draw(keys))
            return msgspec.structs.replace(made, message=message)
        return made

    def settlement(self, data: st.DataObject) -> Settlement:
        lease, now = self.lease(data), self.whole.clock.now()
        done = data.draw(st.sampled_from([settlement(lease, now=now), failed(lease, now)]))
        record = AttemptRecord(worker=data.draw(server_ids))
        message: TaskMessage = msgspec.structs.replace(
            done.message,
            queue=data.draw(queues | st.just(lease.message.queue)),
            unique_key=data.draw(keys | st.just("")),
        )
        return msgspec.structs.replace(
            done, record=record, message=data.draw(st.sampled_from([done.message, message]))
        )


async def dequeue(world: World, names: list[str], owner: str) -> object:
    leases = await world.store.dequeue(names, 3, 30, owner)
    world.held += leases
    return leases


async def claim(world: World, names: list[str]) -> object:
    found = await world.store.claim_groups(names, GroupRule(grace=0.0), 3)
    world.batches += found.batches
    return found


def registration(data: st.DataObject) -> ServerInfo | SchedulerInfo:
    id, queue = data.draw(server_ids), data.draw(queues)
    if data.draw(st.booleans()):
        options = [data.draw(st.sampled_from([f'Queue("{queue}")', "Queue(", "Timeout(1s)"]))]
        entries = [ScheduleInfo(data.draw(schedule_ids), "@daily", "", queue, "work", options=options)]
        return SchedulerInfo(id, "host", 1, 0.0, entries)
    workers = [WorkerInfo(data.draw(queues), data.draw(task_ids), "work", 0.0)]
    return server_info(id, queues={queue: 1}, workers=workers)


Operation = Callable[[World, st.DataObject], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "enqueue": lambda w, d: w.store.enqueue([w.entry(d) for _ in range(d.draw(st.integers(1, 3)))]),
    "dequeue": lambda w, d: dequeue(w, d.draw(some_queues), d.draw(server_ids)),
    "renew": lambda w, d: w.store.renew([w.lease(d)], 900),
    "renew_owner": lambda w, d: w.store.renew_owner(d.draw(server_ids), 900),
    "settle": lambda w, d: w.store.settle([w.settlement(d)]),
    "write_output": lambda w, d: w.store.write_output(
        [Output(w.lease(d), b"r", b"1", AttemptRecord(worker=d.draw(server_ids)))]
    ),
    "attempts": lambda w, d: w.store.attempts(w.refs(d)),
    "paused_types": lambda w, d: w.store.paused_types(d.draw(some_queues)),
    "forward": lambda w, d: w.store.forward(d.draw(some_queues), 9),
    "expired": lambda w, d: w.store.expired(d.draw(some_queues), 9),
    "accepts_writes": lambda w, d: w.store.accepts_writes(d.draw(some_queues)),
    "sweep": lambda w, d: w.store.sweep(d.draw(some_queues), 9),
    "claim_groups": lambda w, d: claim(w, d.draw(some_queues)),
    "renew_batches": lambda w, d: w.store.renew_batches([w.batch(d)], 900),
    "merge_group": lambda w, d: w.store.merge_group(w.batch(d), w.entry(d)),
    "delete_batch": lambda w, d: w.store.delete_batch(w.batch(d)),
    "return_batch": lambda w, d: w.store.return_batch(w.batch(d)),
    "register_schedules": lambda w, d: w.store.register_schedules(d.draw(queues), [d.draw(schedule_ids)]),
    "fire": lambda w, d: w.store.fire(
        [Fire(d.draw(schedule_ids), d.draw(st.sampled_from([60.0, 120.0])), w.entry(d))]
    ),
    "record": lambda w, d: w.store.record([FireEvent(d.draw(schedule_ids), "a", w.whole.clock.now())]),
    "prune_schedules": lambda w, d: w.store.prune_schedules(d.draw(queues), [d.draw(schedule_ids)], 1e12),
    "beat": lambda w, d: w.store.beat(registration(d), 60),
    "leave": lambda w, d: w.store.leave(registration(d)),
    "cancel": lambda w, d: w.store.cancel(w.refs(d)),
    "queues": lambda w, d: w.store.queues(),
    "stats": lambda w, d: w.store.stats([d.draw(queues)]),
    "memory_usage": lambda w, d: w.store.memory_usage([d.draw(queues)]),
    "history": lambda w, d: w.store.history(d.draw(queues), 2),
    "groups": lambda w, d: w.store.groups(d.draw(queues)),
    "group_names": lambda w, d: w.store.group_names(d.draw(queues)),
    "tasks": lambda w, d: w.store.tasks(w.where(d), Page()),
    "scan": lambda w, d: w.store.scan(w.where(d), "", 9),
    "find": lambda w, d: w.store.find(w.refs(d)),
    "lock_holder": lambda w, d: w.store.lock_holder(d.draw(queues), d.draw(keys)),
    "move": lambda w, d: w.store.move(d.draw(st.sampled_from(list(Action))), w.refs(d)),
    "move_all": lambda w, d: w.store.move_all(d.draw(st.sampled_from(list(Action))), w.where(d)),
    "transfer": lambda w, d: w.store.transfer(w.refs(d), d.draw(queues)),
    "rewrite": lambda w, d: w.store.rewrite(dict.fromkeys(w.refs(d), b"new")),
    "flush_group": lambda w, d: w.store.flush_group(d.draw(queues), d.draw(groups)),
    "pause": lambda w, d: w.store.pause(d.draw(queues), d.draw(st.booleans())),
    "pause_type": lambda w, d: w.store.pause_type(d.draw(queues), "work", d.draw(st.booleans())),
    "remove_queue": lambda w, d: w.store.remove_queue(d.draw(queues), force=d.draw(st.booleans())),
    "servers": lambda w, d: w.store.servers(),
    "schedulers": lambda w, d: w.store.schedulers(),
    "schedule_states": lambda w, d: w.store.schedule_states(d.draw(queues)),
    "pause_schedule": lambda w, d: w.store.pause_schedule(
        d.draw(queues), d.draw(schedule_ids), d.draw(st.booleans())
    ),
    "fires": lambda w, d: w.store.fires(d.draw(schedule_ids), Page()),
    "collection": lambda w, d: w.store.collection(d.draw(st.sampled_from(["tenants", "t:tenants"]))),
    "put_document": lambda w, d: w.store.put_document("tenants", "a", b"mine"),
    "append_log": lambda w, d: w.store.append_log("audit", [b"mine"], keep=1, age=1),
    "read_log": lambda w, d: w.store.read_log("audit"),
    "nodes": lambda w, d: w.store.nodes(),
    "examine": lambda w, d: w.store.examine(fix=True),
}


async def start(world: World) -> None:
    """Give the attacker tasks of its own, so that most of its operations have something to act on."""
    store, clock = world.store, world.whole.clock
    mine: dict[str, Any] = {"type": "work", "queue": "mail", "payload": b"1"}
    await store.enqueue([entry("run", **mine), entry("b", **mine)])
    running, bad = await store.dequeue(["mail"], 2, 900, "server")
    await store.settle([failed(bad, clock.now())])
    await store.enqueue([entry("m", **mine, group="g")])
    world.held.append(running)
    world.batches += (await store.claim_groups(["mail"], GroupRule(grace=0.0), 1)).batches
    await store.enqueue([entry("a", **mine, unique=900.0), entry("d", **mine, at=clock.now() + 60)])
    await store.enqueue([entry("x", **mine, group="h"), entry("c", type="work", queue="low")])
    await store.register_schedules("mail", ["report"])
    await store.beat(server_info("server", queues={"mail": 1}), 900)


async def live(whole: Store, victim: str) -> tuple[list[Lease], list[GroupBatch]]:
    """Fill the queues of a victim; returns its leases and claimed batches."""
    clock, queue, id = whole.clock, own(victim, "mail"), f"{CANARY}-{victim}"
    secret: dict[str, Any] = {"type": "work", "queue": queue, "payload": CANARY.encode(), "max_retry": 7}
    await whole.enqueue(
        [entry("run", **secret, unique=YEAR), entry("b", **secret), entry("e", **secret, retention=YEAR)]
    )
    held, bad, good = await whole.dequeue([queue], 3, YEAR, "/t1x:server" if victim == "t1x" else "host:1:x")
    await whole.settle([failed(bad, clock.now(), ValueError(CANARY)), settlement(good, now=clock.now())])
    await whole.write_output([Output(held, CANARY.encode(), b"1", AttemptRecord(worker=id))])
    batch = entry("m", **secret, group="g")
    await whole.enqueue([batch])
    claimed = await whole.claim_groups([queue], GroupRule(grace=0.0), 9)
    await whole.enqueue(
        [
            entry("a", **secret),
            entry("c", **{**secret, "payload": b"1"}, unique=YEAR),
            entry("d", **secret, at=clock.now() + YEAR),
            entry(CANARY, **secret, group="h"),
            entry("x", **{**secret, "queue": own(victim, CANARY)}),
        ]
    )
    await whole.pause(own(victim, CANARY), True)
    await whole.pause_type(queue, CANARY, True)
    await whole.fire([Fire("report", 60.0, entry("fired", **secret))])
    await whole.pause_schedule(queue, "report", True)
    await whole.record([FireEvent(own(victim, "report"), CANARY, clock.now())])
    ids = f"/{victim}:server" if victim else "host:1:x"
    await whole.beat(
        server_info(ids, host=CANARY, queues={queue: 1}, workers=[WorkerInfo(queue, "run", CANARY, 0.0)]),
        YEAR,
    )
    await whole.beat(
        SchedulerInfo(ids, CANARY, 1, 0.0, [ScheduleInfo("report", "@daily", "", queue, CANARY)]), YEAR
    )
    return [held], claimed.batches


async def contents(whole: Store) -> dict[str, Any]:
    """Everything in the store that does not belong to the attacker."""
    found: dict[str, Any] = {}
    for queue in await whole.queues():
        if queue.startswith(f"{ATTACKER}:"):
            continue
        infos = [info for state in S for info in await whole.tasks(Where(queue, state), Page(1_000))]
        found[queue] = (
            infos,
            await whole.stats([queue]),
            await whole.history(queue, 2),
            await whole.groups(queue),
            await whole.group_names(queue),
            await whole.attempts([info.ref for info in infos]),
            await whole.paused_types([queue]),
            await whole.schedule_states(queue),
            [
                await whole.lock_holder(queue, unique_key(queue, "work", payload))
                for payload in (None, b"1", CANARY.encode())
            ],
            (await whole.expired([queue], 9)),
        )
    mark = f"/{ATTACKER}:"
    found["servers"] = sorted(
        (one for one in await whole.servers() if not one.id.startswith(mark)), key=lambda one: one.id
    )
    found["schedulers"] = sorted(
        (one for one in await whole.schedulers() if not one.id.startswith(mark)), key=lambda one: one.id
    )
    found["fires"] = [await whole.fires(own(victim, "report"), Page()) for victim in VICTIMS]
    found["documents"] = await whole.collection("tenants"), await whole.read_log("audit")
    return found


class Victims:
    """What the victims have, and what they are notified of."""

    def __init__(self, whole: Store) -> None:
        self._whole = whole
        self.leases: list[Lease] = []
        self.batches: list[GroupBatch] = []
        self._received: list[object] = []

    async def open(self) -> None:
        """Fill their queues, and listen."""
        for victim in VICTIMS:
            leases, batches = await live(self._whole, victim)
            self.leases += leases
            self.batches += batches
        await self._whole.put_document("tenants", CANARY, CANARY.encode())
        await self._whole.append_log("audit", [CANARY.encode()], keep=9, age=YEAR)
        self._before = await contents(self._whole)
        queues = await self._whole.queues()
        refs = [TaskRef(queue, id) for queue in queues for id in ("a", "b", "c", "run", "m", "x")]
        topics = [kind(queue) for kind in (pending, due, grouped, types) for queue in queues]
        self._watch = self._whole.watch([*topics, *map(ended, refs), *map(changed, refs)])
        stores = [ScopedStore(self._whole, Scope(victim), FULL_ACCESS) for victim in VICTIMS if victim]
        self._listening = [asyncio.create_task(self._listen(store)) for store in stores]
        await asyncio.sleep(0)

    async def were_notified(self) -> bool:
        """Whether there was a signal since the last call."""
        return await self._watch.wait(0)

    async def _listen(self, store: Store) -> None:
        async for request in store.cancellations():
            self._received.append(request)

    async def close(self) -> None:
        """Stop listening."""
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        self._watch.close()

    async def check(self) -> None:
        """Nothing of theirs was changed or counted, and no task was cancelled."""
        await asyncio.sleep(0)
        assert self._received == []
        assert await contents(self._whole) == self._before


#: What notifies all watches: it is unknown which tasks were removed. A signal says nothing else.
NOTIFIES_ALL = {"remove_queue"}


def attack(whole: Store, data: st.DataObject, steps: int, *, exact: bool) -> None:
    """Carry out random operations as one tenant. Each one is drawn outside the event loop. `exact`: the broker sends
    no signals without a reason."""
    with asyncio.Runner() as runner:
        victims = Victims(whole)
        runner.run(whole.__aenter__())
        runner.run(victims.open())
        try:
            store = ScopedStore(CoalescingStore(whole), Scope(ATTACKER), FULL_ACCESS)
            world = World(whole, store, victims.leases, victims.batches)
            runner.run(start(world))
            for _ in range(steps):
                name = data.draw(st.sampled_from(list(OPERATIONS)), "operation")
                told = runner.run(answer(OPERATIONS[name](world, data)))
                assert CANARY not in without_input(told), f"{name} tells something of a victim"
                assert f"{ATTACKER}:" not in without_input(told), f"{name} shows the prefix"
                notified = runner.run(victims.were_notified())
                assert not (exact and notified) or name in NOTIFIES_ALL, f"{name} notifies victims"
            runner.run(victims.check())
        finally:
            runner.run(victims.close())
            runner.run(whole.__aexit__(None, None, None))


async def answer(call: Awaitable[object]) -> str:
    """What a call answers, or its error."""
    try:
        return repr(await call)
    except (AsynqioError, ValueError) as error:
        return f"{error} {vars(error)}"


def without_input(text: str) -> str:
    """The text without names that the attacker itself has given, and without the tokens of its leases: those of Redis
    contain its own names as they are stored."""
    text = re.sub(r"token=.*?, pending_since=", "", text)
    for name in sorted((f"/t1x:{CANARY}", *QUEUES), key=len, reverse=True):
        if f"{ATTACKER}:" in name or CANARY in name:
            text = text.replace(name, "")
    return text


@pytest.mark.requirement("SEC-GW-6")
def test_every_operation_is_tried() -> None:
    assert set(OPERATIONS) == set(NEEDS) - {"ping", "watch", "check", "producer", "cancellations"}


@pytest.mark.requirement("SEC-GW-6")
@pytest.mark.requirement("SEC-GW-7")
@pytest.mark.timeout(0 if EXAMPLES else 120)
@settings(
    max_examples=int(EXAMPLES or 120), deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES
)
@given(data=st.data())
def test_random_operations_of_a_tenant_touch_no_other(data: st.DataObject) -> None:
    attack(MemoryBroker(clock=FakeClock()), data, steps=25, exact=True)


@pytest.mark.requirement("SEC-GW-6")
@pytest.mark.timeout(0 if EXAMPLES else 120)
@settings(
    max_examples=int(EXAMPLES or 10), deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES
)
@given(data=st.data())
def test_random_operations_of_a_tenant_touch_no_other_on_redis(data: st.DataObject) -> None:
    attack(make_store("redis", fresh_server().url, FakeClock()), data, steps=25, exact=False)
