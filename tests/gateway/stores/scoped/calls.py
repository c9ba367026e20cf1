"""One call of each method of a store, on tasks of type "email:send" in the queue "mail"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.contract.results import Output
from asynqio.brokers.contract.signals import pending
from asynqio.core.groups import GroupBatch, GroupRule
from asynqio.core.info import ScheduleInfo, SchedulerInfo
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import Fire, FireEvent
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.core.task.unique import unique_key
from tests.builders import entry, lease, server_info, settlement

QUEUE, TYPE = "mail", "email:send"
REF = TaskRef(QUEUE, "a")
HELD = lease("a", queue=QUEUE)
BATCH = GroupBatch(QUEUE, "g", "b1", (), 0.0)
SCHEDULER = SchedulerInfo("s:1:x", "s", 1, 0.0, [ScheduleInfo("report", "@daily", "", QUEUE, TYPE)])


async def _watched(store: Store) -> None:
    store.watch([pending(QUEUE)]).close()


async def _checked(store: Store) -> None:
    store.check(entry(queue=QUEUE))


async def _produced(store: Store) -> None:
    store.producer(lambda *args, **kwargs: None)  # type: ignore[arg-type]


async def _cancellations(store: Store) -> None:
    store.cancellations()


CALLS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "ping": lambda store: store.ping(),
    "watch": _watched,
    "check": _checked,
    "enqueue": lambda store: store.enqueue([entry("new", queue=QUEUE)]),
    "producer": _produced,
    "dequeue": lambda store: store.dequeue([QUEUE], 1, 30, "server-1"),
    "renew": lambda store: store.renew([HELD], 30),
    "renew_owner": lambda store: store.renew_owner("server-1", 30),
    "settle": lambda store: store.settle([settlement(HELD)]),
    "write_output": lambda store: store.write_output([Output(HELD, b"1")]),
    "attempts": lambda store: store.attempts([REF]),
    "paused_types": lambda store: store.paused_types([QUEUE]),
    "forward": lambda store: store.forward([QUEUE], 1),
    "expired": lambda store: store.expired([QUEUE], 1),
    "accepts_writes": lambda store: store.accepts_writes([QUEUE]),
    "sweep": lambda store: store.sweep([QUEUE], 1),
    "claim_groups": lambda store: store.claim_groups([QUEUE], GroupRule(), 1),
    "renew_batches": lambda store: store.renew_batches([BATCH], 30),
    "merge_group": lambda store: store.merge_group(BATCH, entry("merged", queue=QUEUE)),
    "delete_batch": lambda store: store.delete_batch(BATCH),
    "return_batch": lambda store: store.return_batch(BATCH),
    "register_schedules": lambda store: store.register_schedules(QUEUE, ["report"]),
    "fire": lambda store: store.fire([Fire("report", 60.0, entry("fired", queue=QUEUE))]),
    "record": lambda store: store.record([FireEvent("report", "a", 0.0)]),
    "prune_schedules": lambda store: store.prune_schedules(QUEUE, ["report"], 0.0),
    "beat": lambda store: store.beat(server_info(queues={QUEUE: 1}), 15),
    "leave": lambda store: store.leave(server_info(queues={QUEUE: 1})),
    "cancel": lambda store: store.cancel([REF]),
    "cancellations": _cancellations,
    "queues": lambda store: store.queues(),
    "stats": lambda store: store.stats([QUEUE]),
    "memory_usage": lambda store: store.memory_usage([QUEUE]),
    "history": lambda store: store.history(QUEUE, 1),
    "groups": lambda store: store.groups(QUEUE),
    "group_names": lambda store: store.group_names(QUEUE),
    "tasks": lambda store: store.tasks(Where(QUEUE, TaskState.PENDING), Page()),
    "scan": lambda store: store.scan(Where(QUEUE, TaskState.PENDING), "", 10),
    "find": lambda store: store.find([REF]),
    "lock_holder": lambda store: store.lock_holder(QUEUE, unique_key(QUEUE, TYPE, None)),
    "move": lambda store: store.move(Action.RUN, [REF]),
    "move_all": lambda store: store.move_all(Action.RUN, Where(QUEUE, TaskState.ARCHIVED)),
    "transfer": lambda store: store.transfer([REF], QUEUE),
    "rewrite": lambda store: store.rewrite({REF: b"1"}),
    "flush_group": lambda store: store.flush_group(QUEUE, "g"),
    "pause": lambda store: store.pause(QUEUE, False),
    "pause_type": lambda store: store.pause_type(QUEUE, TYPE, False),
    "remove_queue": lambda store: store.remove_queue(QUEUE, force=True),
    "servers": lambda store: store.servers(),
    "schedulers": lambda store: store.schedulers(),
    "schedule_states": lambda store: store.schedule_states(QUEUE),
    "pause_schedule": lambda store: store.pause_schedule(QUEUE, "report", False),
    "fires": lambda store: store.fires("report", Page()),
    "collection": lambda store: store.collection("tenants"),
    "put_document": lambda store: store.put_document("tenants", "a", b"1"),
    "append_log": lambda store: store.append_log("audit", [b"1"], keep=9, age=9),
    "read_log": lambda store: store.read_log("audit"),
    "nodes": lambda store: store.nodes(),
    "examine": lambda store: store.examine(),
}
