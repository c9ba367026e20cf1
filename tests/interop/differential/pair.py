"""Two databases, one written by the asynqio broker and one by Go's code; each step is applied to both."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Moved
from asynqio.core.groups import GroupBatch
from asynqio.core.lifecycle import Lease
from asynqio.core.task.message import TaskMessage, TaskRef
from asynqio.testing import FakeClock
from tests.interop.differential.snapshot import Snapshot, differences, snapshot
from tests.interop.support.peers import GoRdb
from tests.interop.support.process import PeerError

#: Go's errors by result of asynqio. Go reports a task in the wrong state as a failed precondition.
ADMISSIONS: dict[object, str] = {Admission.DUPLICATE: "duplicate", Admission.ID_CONFLICT: "id_conflict"}
MOVES = {Moved.NOT_FOUND: "task_not_found", Moved.WRONG_STATE: "failed_precondition"}


class Held(NamedTuple):
    """A task that is active on both sides: the lease of asynqio and the message from Go's dequeue."""

    lease: Lease
    message: dict[str, Any]


class Step(NamedTuple):
    """The last step, with facts for the corrections."""

    name: str
    facts: dict[str, Any]


def go_message(message: TaskMessage) -> dict[str, Any]:
    """A message as Go's client writes it."""
    return {
        "type": message.type,
        "payload": message.payload,
        "headers": message.headers or None,
        "id": message.id,
        "queue": message.queue,
        "retry": message.max_retry,
        "retried": message.retried,
        "error_msg": message.last_error,
        "last_failed_at": int(message.last_failed_at),
        "timeout": int(message.timeout),
        "deadline": int(message.deadline),
        "unique_key": message.unique_key,
        "group_key": message.group,
        "retention": int(message.retention),
        "completed_at": int(message.completed_at),
    }


class Pair:
    """The two sides, their active tasks and batches, and a common clock."""

    def __init__(
        self, ours: Store, rdb: GoRdb, mine: Redis, other: Redis, clock: FakeClock, seed: int
    ) -> None:
        self.ours = ours
        self.rdb = rdb
        #: Clients of the two databases.
        self.mine, self.other = mine, other
        self.clock = clock
        self.random = Random(seed)
        self.log: list[str] = []
        self.known: list[TaskRef] = []
        self.held: dict[TaskRef, Held] = {}
        #: Lost leases.
        self.lost: list[Held] = []
        self.batches: list[tuple[GroupBatch, str]] = []
        #: Generated names: of Go by those of asynqio.
        self.renamed: dict[str, str] = {}

    @property
    def now(self) -> float:
        return self.clock.now()

    def observe(self, text: str) -> None:
        self.log.append(text)

    async def go(self, verb: str, **arguments: Any) -> Any:
        """The answer of Go; for an error, its kind."""
        try:
            return await self.rdb.do(verb, now=self.now, **arguments)
        except PeerError as error:
            return error.kind

    def same(self, what: str, mine: object, other: object) -> None:
        """Check that both sides give the same answer."""
        assert mine == other, self.report(f"{what}: we answered {mine!r}, Go {other!r}")

    async def snapshots(self) -> tuple[Snapshot, Snapshot]:
        """Snapshots of both databases, with the generated names of asynqio."""
        mine, other = await snapshot(self.mine), await snapshot(self.other)
        for theirs, ours in self.renamed.items():
            for key in [key for key in other if theirs in key]:
                other[key.replace(theirs, ours)] = other.pop(key)
            for key, value in other.items():
                if key.endswith(":aggregation_sets"):
                    content = {
                        name.replace(theirs.encode(), ours.encode()): score
                        for name, score in value.content.items()
                    }
                    other[key] = value._replace(content=content)
        return mine, other

    def report(self, problem: str) -> str:
        steps = "\n".join(f"  {number:4} {text}" for number, text in list(enumerate(self.log))[-25:])
        return f"{problem}\nafter these steps:\n{steps}"

    def check(self, mine: Snapshot, other: Snapshot) -> None:
        """Check that the snapshots are equal."""
        if found := differences(mine, other):
            raise AssertionError(self.report("\n".join(found)))


def message_as_go(data: dict[str, Any]) -> dict[str, Any]:
    """Go's message with bytes instead of base64, and with equal empty values."""
    payload = msgspec.convert(data["payload"], bytes | None)
    return {**data, "payload": payload or None, "headers": data["headers"] or None}


def go_view(message: TaskMessage) -> dict[str, Any]:
    """A message of asynqio in Go's format."""
    view: dict[str, Any] = msgspec.to_builtins(go_message(message))
    return view
