"""The machine of the model tests: a broker and the model side by side, and the operations that may run on both."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from asynqio.brokers.contract.documents import LogEntry
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.core.groups import GroupBatch
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.conftest import broker_url, make_store
from tests.conformance.model_based.model import Model
from tests.conformance.model_based.records import FullScan, Held, S, Stored

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])
ALL = Page(size=10_000)
QUEUES = ("high", "low {q}", "empty")
#: A file system in memory, if there is one: the tests make thousands of commits, none of which must be durable.
MEMORY_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
PAYLOADS = (b"1", b"2", None)
RETENTION = 300.0

queue_names = st.sampled_from(QUEUES[:2])
several_queues = st.permutations(QUEUES).flatmap(
    lambda order: st.integers(0, len(order)).map(lambda count: tuple(order[:count]))
) | st.just(QUEUES)
limits = st.integers(1, 5)
some_ids = st.sampled_from(["a", "b", "c", "d"])
spans = st.sampled_from([1.0, 5.0, 30.0])


@dataclasses.dataclass
class Operation:
    """An operation that may run next. `weight`: its relative frequency; `needs`: an attribute of the machine that
    must be true, such as a list that is not empty."""

    run: Callable[..., None]
    weight: int
    needs: str
    arguments: dict[str, st.SearchStrategy[Any]]

    def __repr__(self) -> str:
        return self.run.__name__


OPERATIONS: list[Operation] = []


def operation(*, weight: int = 1, needs: str = "", **arguments: st.SearchStrategy[Any]) -> Callable[[F], F]:
    """Register a function of a machine as an operation. Not Hypothesis' own rules: it disables a random half of those
    in each run, and hardly ever keeps enqueue, dequeue and an operation that needs a lease all enabled."""

    def register(run: F) -> F:
        OPERATIONS.append(Operation(run, weight, needs, arguments))
        return run

    return register


class Machine(RuleBasedStateMachine):
    """A broker and the model. Each machine has its own event loop and store."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY_DISK)
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.broker = make_store(self.kind, broker_url(self.kind, Path(self.folder.name)), self.clock)
        self.run(self.broker.__aenter__())
        #: Whether the store is not that of a tenant, which has no documents and logs.
        self.is_whole = self.kind != "scoped"
        self.model = Model(self.clock.now())
        self.held: list[Held] = []
        self.batches: list[GroupBatch] = []
        self.scans: list[FullScan] = []
        self.known: set[TaskRef] = set()
        self.servers: dict[str, tuple[ServerInfo, float]] = {}
        self.schedulers: dict[str, tuple[SchedulerInfo, float]] = {}
        self.collections: dict[str, tuple[int, dict[str, bytes]]] = {}
        self.logs: dict[str, list[LogEntry]] = {}
        self.fresh = itertools.count()

    def run(self, call: Awaitable[T]) -> T:
        async def wait() -> T:
            return await call

        return self.loop.run_until_complete(wait())

    def teardown(self) -> None:
        self.run(self.broker.__aexit__(None, None, None))
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    # --- drawing ----------------------------------------------------------------------------------

    def draw_entry(self, data: st.DataObject, queue: str) -> Entry:
        kind = data.draw(st.sampled_from(["now", "now", "later", "group", "group", "later in group"]), "kind")
        return entry(
            data.draw(st.none() | some_ids, "id") or f"fresh-{next(self.fresh)}",
            type="work",
            queue=queue,
            payload=data.draw(st.sampled_from(PAYLOADS), "payload"),
            at=self.clock.now() + data.draw(st.sampled_from([-5, 0, 1, 5, 30]), "delay")
            if "later" in kind
            else 0.0,
            group=data.draw(st.sampled_from(["g", "h {x}"]), "group") if "group" in kind else "",
            **self.draw_lock(data),
            replace_finished=data.draw(st.sampled_from([False, False, True]), "replace_finished"),
            retention=data.draw(st.sampled_from([0.0, RETENTION]), "retention"),
            max_retry=data.draw(st.sampled_from([0, 1, 25]), "max_retry"),
        )

    def draw_lock(self, data: st.DataObject) -> dict[str, Any]:
        unique = data.draw(st.sampled_from([0.0, 0.0, 60.0, 300.0]), "unique")  # long in real time
        if not unique or data.draw(st.booleans(), "as in Go"):
            return {"unique": unique}
        until = data.draw(st.sampled_from(["finished", "started", "ended", "expired"]), "until")
        return {
            "unique": unique,
            "until": until,
            "by": data.draw(st.sampled_from([None, b"1", b"3"]), "by"),
            "on_duplicate": "reject"
            if until == "expired"
            else data.draw(st.sampled_from(["reject", "replace", "reschedule"]), "on_duplicate"),
        }

    def draw_leases(self, data: st.DataObject) -> list[Held]:
        some = self.held if data.draw(st.booleans(), "stale ones too") else self.held[-4:]
        return data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=4), "leases")

    def find(self, task: Stored) -> Any:
        [info] = self.run(self.broker.find([task.message.ref]))
        assert info is not None
        return info

    def pending(self, queue: str) -> list[str]:
        if queue not in self.model.queues:
            return []
        return [info.id for info in self.run(self.broker.tasks(Where(queue, S.PENDING), ALL))]
