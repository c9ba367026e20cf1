"""The contract between the library and its stores: `Broker` moves tasks, `Inspection` looks and tidies.

Rules every broker keeps; `tests/conformance` is these sentences as tests:

1.  A task lives in exactly one state of exactly one queue. Every method leaves it so, whatever is
    cancelled or killed in between.
2.  Answers are aligned with the input, one per item. An item is applied wholly or not at all; a batch need
    not be.
3.  `enqueue` answers DUPLICATE before ID_CONFLICT when both hold. A refused entry leaves no trace. A COMPLETED
    or ARCHIVED task makes room for an entry of its id that says `replace_finished`.
4.  `dequeue` looks at queues in the order given, skips paused ones, takes the oldest first, never more than
    `limit`. A task and its lease appear together.
5.  A watch sees every signal from the moment it was opened; waiting may return early for no reason, and it
    never takes anything.
6.  `renew` touches only leases still held and says which.
7.  `settle` acts only on an ACTIVE task whose lease this is, expired or not; otherwise it answers False and
    changes nothing. Counters change in the same step. `to=PENDING` puts the task at the front.
8.  `forward` moves due SCHEDULED and RETRY tasks to PENDING, earliest first; those that belong to a group go
    (back) to AGGREGATING.
9.  `expired` only reads. What becomes of an abandoned task is decided by the same `decide`.
10. `sweep` deletes what has outlived its retention, trims the archive, and returns group batches whose time
    ran out to their group.
11. `claim_groups` looks at the groups that have a rule and claims at most `BATCH_MEMBERS` members per batch,
    oldest first. `merge_group` takes the merged task in and removes the members in one step, or neither. A flushed
    group is ripe as long as a member that was there then waits in it.
12. Time is the clock given at construction. Nothing blocks the event loop. `CancelledError` passes through.
13. What is worth trying again is `BrokerUnavailable`; no driver's exception gets out.
14. Stored bytes that cannot be decoded never stop anything: such a task is archived as `CORRUPT_TYPE` and
    counted (quarantine), its neighbours go on.
15. An archive keeps at most `ARCHIVE_LIMIT` tasks per queue, the youngest, none older than `ARCHIVE_AGE`, unless
    the URL says otherwise (`archive_limit=`, `archive_age=`: who is given less keeps less, for all); what it
    drops is counted (`QueueStats.evicted_total`).
16. `settle` keeps the record of the attempt (`Settlement.record`) with a task that stays, in the same step, and
    numbers it; the youngest `RUNS_KEPT` remain, whatever operators do with the task, and go when it goes. What a
    running attempt has left of itself (`Output.live`) goes with its lease.
17. `fire` takes each tick of a schedule once, whoever asks: in one step, a tick that is not later than the last
    one taken is refused, or it is taken and its entry goes in as `enqueue` would have it; one that is refused as a
    duplicate or for its id takes the tick all the same. A paused schedule refuses all and takes none. What is
    known of a schedule belongs to the queue of its entry, and goes with it.
18. `record` keeps the last `FIRES_KEPT` events of a schedule, newest first; `FIRES_AGE` after the newest all of
    them are gone.
19. A walk is `scan` from "" on, each step with the `after` of the one before, until that is "". It shows every
    task that is in its state from the first step to the last, whatever comes, goes or moves meanwhile; what
    joins meanwhile may be shown. A task is shown twice only if it left its state, or its group was claimed,
    and it came back; or if somebody took out of the middle of a line all that stood around the place. A step
    costs the same however long the queue is (memory: one look through the queue).
20. An entry's `lock` is held for `unique_ttl` seconds. Every step that brings a task where `locks.freed_by` says
    so frees the task's own lock, if it still holds it; a `throttle` only time frees. An entry that meets a held
    lock is refused, changes the holder (`Replaced`, one step), or takes the lock over, as `locks.meet` says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol, Self, runtime_checkable

from asynqio.brokers.contract.inspection import Inspection
from asynqio.brokers.contract.results import (
    Admission,
    Cancellation,
    Claimed,
    Expired,
    Fired,
    Forwarded,
    Output,
    Replaced,
    Swept,
)
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.clock import Clock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.records import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry


class Broker(Protocol):
    """A store of tasks. Every method is safe to call from several coroutines of one event loop at once."""

    @property
    def clock(self) -> Clock: ...

    @property
    def url(self) -> str:
        """Where it is, without secrets: for messages."""
        ...

    @property
    def private_url(self) -> str:
        """The same with all its secrets, to open it again in another process. Never to be shown."""
        ...

    @property
    def archive_limit(self) -> int:
        """How many archived tasks it keeps per queue."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes work on the same store (then leases need keeping from outside)."""
        ...

    @property
    def round_trip(self) -> float:
        """Seconds to the store and back, as measured when it was opened; 0 if no network is between us and it.

        Calls over a network are better made ahead, and over a long way several at once.
        """
        ...

    def clone(self) -> Broker:
        """Another handle on the same store, for use from another thread's event loop."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...

    async def ping(self) -> None:
        """Whether the store answers. Raises BrokerUnavailable."""
        ...

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Be told when something happens (see signals.py). Needs a running event loop."""
        ...

    # tasks in

    def check(self, entry: Entry) -> None:
        """Asked before `enqueue`. Raises an InvalidTask for what this store can never take, so that it costs no
        other entry of its batch anything."""
        ...

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]: ...

    # tasks out

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        """Up to `limit` tasks, leased for `lease` seconds to the server called `owner`.

        `timed`: each lease says since when its task had been pending, if the store knows.
        """
        ...

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        """Make the leases last `lease` seconds from now; `expires_at` of those still held is updated."""
        ...

    async def renew_owner(self, owner: str, lease: float) -> int:
        """Make every lease of this server last `lease` seconds from now; how many there were."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]: ...

    async def write_output(self, notes: Sequence[Output]) -> list[bool]:
        """Keep results, progress and logs with tasks whose lease is still held; False: it is not."""
        ...

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        """The recorded attempts at each task, oldest first, nothing for a task that is not there. The one that
        goes on comes last (`RUNNING`), with at least its worker; for that of a server of Go's there is none."""
        ...

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        """The task types that are paused and since when, by queue; only those queues that have some. It is up to
        servers not to run their tasks: `dequeue` hands them out."""
        ...

    # what time does to tasks

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded: ...
    async def expired(self, queues: Sequence[str], limit: int) -> Expired: ...
    async def sweep(self, queues: Sequence[str], limit: int) -> Swept: ...

    # groups

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        """At most `limit` batches. `policy`: a GroupRule for all groups, or GroupRules."""
        ...

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        """Put `merged` in the members' place. None: the batch is not ours any more, nothing was done."""
        ...

    # schedules

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        """A scheduler serves these schedules now: what is known of each. One that is new is known from now on,
        and nothing of it is made up."""
        ...

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]: ...
    async def record(self, events: Sequence[FireEvent]) -> None:
        """Keep what schedules have put in, for people to look at."""
        ...

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        """Drop what is known of schedules that nobody has met after `before`; how many there were."""
        ...

    # who is there

    async def beat(self, card: ServerInfo | SchedulerInfo, ttl: float) -> None: ...
    async def leave(self, card: ServerInfo | SchedulerInfo) -> None: ...

    # cancellation of running tasks

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        """Tell whoever runs these tasks; `archive`: they shall be archived and not retried (Go's servers hear only
        that they are cancelled)."""
        ...

    def cancellations(self) -> AsyncIterator[Cancellation]:
        """The tasks that somebody wants cancelled, from the first `anext` on, until closed. An empty queue means
        whatever task has the id: Go asynq says no more."""
        ...


@runtime_checkable
class Store(Broker, Inspection, Protocol):
    """What every back end is: both."""

    def clone(self) -> Store: ...
