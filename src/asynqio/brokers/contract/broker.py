"""The contract between the library and its stores: `Broker` processes tasks, `Inspection` reads and administers.

Rules that every broker keeps; the tests in `tests/conformance` bear their numbers:

1.  A task is in exactly one state of exactly one queue. Every method preserves this, even if its caller is cancelled
    or its process killed at any point.
2.  Answers are aligned with the input, one per item. An item is applied wholly or not at all; a batch may be applied
    in part.
3.  `enqueue` answers DUPLICATE before ID_CONFLICT if both apply. A refused entry changes nothing. An entry with
    `replace_finished` replaces a COMPLETED or ARCHIVED task of its id.
4.  `dequeue` reads the queues in the order given, skips paused queues, leases the oldest tasks first, and never more
    than `limit`. A task and its lease are created in one step.
5.  A watch receives every signal from the moment it is opened. `wait` may return early without a reason; it never
    takes a task.
6.  `renew` extends only leases that are still held, and says which.
7.  `settle` acts only on an ACTIVE task whose lease is the one given, expired or not; otherwise it answers False and
    changes nothing. Counters change in the same step. `to=PENDING` puts the task at the front.
8.  `forward` moves due SCHEDULED and RETRY tasks to PENDING, earliest first; those that belong to a group move to
    AGGREGATING.
9.  `expired` only reads, so it works while the store refuses writes; `accepts_writes` says whether a lease could be
    renewed now. The outcome of an abandoned task is decided by `decide`, as that of any other.
10. `sweep` deletes tasks whose retention has expired, trims the archive, and returns batches whose lease has expired
    to their groups.
11. `claim_groups` claims ripe groups that have a rule, at most `BATCH_MEMBERS` members per batch, oldest first.
    `merge_group` enqueues the merged task and deletes the members in one step, or does neither; `delete_batch`
    deletes them without a merged task. A flushed group is ripe while one of its members at the time of the flush is
    unclaimed. The store keeps the failures of a group in a row: those that `return_batch` reports, and claims that
    expired. A failed group is not ripe before `GroupFailure.retry_at`, unless it is flushed; a failure ends the
    flush. A merge or `delete_batch` deletes the failures, unless a member as old as the failed ones waits in the
    group; so does the last unclaimed member that leaves the group unclaimed.
12. Time is the clock given at construction. No method blocks the event loop. `CancelledError` propagates.
13. Errors that a retry may solve are `BrokerUnavailable`; those that an operator may solve, and unknown ones,
    `BrokerRefused`; a value that can never be stored is `CannotStore`. No exception of a driver reaches the caller.
    A call of `settle` or `write_output` that raised may be repeated, as a whole or in parts.
14. Stored bytes that cannot be decoded never stop an operation: the task is archived as `CORRUPT_TYPE` and counted
    (quarantine); other tasks are processed as usual.
15. An archive keeps the newest `ARCHIVE_LIMIT` tasks per queue, none older than `ARCHIVE_AGE`. The URL options
    `archive_limit` and `archive_age` change this; of several processes the one with the lowest limits decides. It may
    take several sweeps to reach a lowered limit.
    Evicted tasks are counted (`QueueStats.evicted_total`).
16. `settle` stores the record of the attempt (`Settlement.record`) with a task that stays, in the same step, and
    numbers it. The newest `RUNS_KEPT` records stay through all operator actions and are deleted with the task. The
    live record of a running attempt (`Output.live`) is deleted with its lease.
17. `fire` takes each tick of a schedule once, however many schedulers ask. In one step it refuses a tick that is
    not later than the last one taken, or takes it and enqueues its entry as `enqueue` would; an entry refused as
    DUPLICATE or ID_CONFLICT takes the tick too. A paused schedule refuses every tick and takes none. The state of a
    schedule belongs to the queue of its entry and is removed with it.
18. `record` keeps the newest `FIRES_KEPT` events of a schedule, newest first; all of them are deleted `FIRES_AGE`
    after the newest.
19. A full scan is `scan` with "" and then with the `after` of the step before, until that is "". It returns every
    task that is in the state from the first step to the last, whatever happens to other tasks; a task that enters
    the state meanwhile may be returned. A task is returned twice only if it left the state, or its group was claimed,
    and it came back; or if all tasks around the cursor were removed from the middle of a list. The cost of a step
    does not grow with the queue (memory: one pass over the queue).
20. The `lock` of an entry is held for `unique_ttl` seconds. Every step that moves a task to a state for which
    `freed_by` is true frees the task's own lock, if the task still holds it; a `throttle` is freed only by time. An
    entry whose lock is held is refused, changes the holder (`Replaced`, in one step), or takes the lock over, as
    `resolve_conflict` decides.
21. A COMPLETED task whose retention has expired and an ARCHIVED task older than `ARCHIVE_AGE` count as deleted, swept
    or not: no method returns them or acts on them, and their id and their own lock are free. Only stats,
    `memory_usage` and `remove_queue` count them until a sweep deletes them.
22. A write to a collection of documents increases its revision by one, unless it deletes what is not there. Of two
    concurrent writes that name the same `known` revision, one is refused and changes nothing. A log keeps the newest
    `keep` entries, at least one, and none older than `age` except the newest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol, Self, runtime_checkable

from asynqio.brokers.contract.inspection import Inspection
from asynqio.brokers.contract.producer import Producer, RunOnLoop
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
from asynqio.core.groups import GroupBatch, GroupFailure, GroupPolicy
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskRef
from asynqio.core.task.task import Entry


class Broker(Protocol):
    """A store of tasks. It is open from the first `async with` to the end of the last one; meanwhile coroutines of
    any event loop, in any thread, may call its methods concurrently.

    Times are seconds since the epoch, durations are seconds. Every coroutine may raise BrokerUnavailable.
    """

    @property
    def clock(self) -> Clock: ...

    @property
    def url(self) -> str:
        """The URL of the store without secrets, for messages."""
        ...

    @property
    def private_url(self) -> str:
        """The URL with its secrets, to open the store in another process. Must not be shown or logged."""
        ...

    @property
    def archive_limit(self) -> int:
        """Archived tasks kept per queue."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes use the same store (then leases are renewed from a separate process)."""
        ...

    @property
    def round_trip(self) -> float:
        """Seconds of one round trip to the store, measured when it was opened; 0 without a network.

        Callers prefetch over a network, and run several calls concurrently over a slow one.
        """
        ...

    def clone(self) -> Broker:
        """Another broker of the same store, which is opened and closed on its own."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc: object) -> None: ...

    async def ping(self) -> None:
        """Check that the store answers. Raises BrokerUnavailable."""
        ...

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Subscribe to signals on these topics (see signals.py). Needs a running event loop."""
        ...

    # enqueue

    def check(self, entry: Entry) -> None:
        """Validate an entry before `enqueue`, so that an entry this store can never accept does not fail its batch.
        Raises InvalidTask."""
        ...

    async def enqueue(self, entries: Sequence[Entry]) -> list[Admission | Replaced]:
        """Enqueue entries (rules 3 and 20). Once this returns, the accepted tasks are stored. Raises StorageFull."""
        ...

    def producer(self, run: RunOnLoop) -> Producer | None:
        """A producer for threads without an event loop; None: threads run `enqueue` on the loop of this broker."""
        ...

    # dequeue, leases, settle

    async def dequeue(
        self, queues: Sequence[str], limit: int, lease: float, owner: str, *, timed: bool = False
    ) -> list[Lease]:
        """Lease up to `limit` tasks for `lease` seconds to the server with id `owner` (rule 4). Does not wait.

        With `timed`, each lease says when its task became pending, if the store knows.
        """
        ...

    async def renew(self, leases: Sequence[Lease], lease: float) -> list[bool]:
        """Extend leases to `lease` seconds from now, and update `expires_at` of those still held. False: lost."""
        ...

    async def renew_owner(self, owner: str, lease: float) -> int:
        """Extend every lease of a server to `lease` seconds from now; returns their number."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Move leased tasks to their next state (rules 7 and 16). False: the lease is lost."""
        ...

    async def write_output(self, outputs: Sequence[Output]) -> list[bool]:
        """Store results, progress and live records with tasks whose lease is still held. False: the lease is lost."""
        ...

    async def attempts(self, refs: Sequence[TaskRef]) -> list[list[AttemptRecord]]:
        """The recorded attempts at each task, oldest first; empty if the task does not exist. A running attempt comes
        last (`RUNNING`), at least with its worker; servers of Go asynq leave none."""
        ...

    async def paused_types(self, queues: Sequence[str]) -> dict[str, dict[str, float]]:
        """The paused task types and when they were paused, by queue; queues without any are left out. Servers must
        not run tasks of these types: `dequeue` returns them all the same."""
        ...

    # maintenance

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        """Move up to `limit` due tasks to PENDING or AGGREGATING (rule 8)."""
        ...

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        """Find up to `limit` expired leases, earliest expiry first (rule 9)."""
        ...

    async def accepts_writes(self, queues: Sequence[str]) -> list[bool]:
        """Whether the store accepts, of each queue, the write that renews a lease (rule 9). Changes no task."""
        ...

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        """Delete up to `limit` tasks whose retention has expired, and clean up (rule 10)."""
        ...

    # groups

    async def claim_groups(self, queues: Sequence[str], policy: GroupPolicy, limit: int) -> Claimed:
        """Claim at most `limit` ripe batches for `BATCH_LEASE` seconds (rule 11). `policy` is one GroupRule for all
        groups, or GroupRules; if these are `exact`, the cost is that of the named groups."""
        ...

    async def renew_batches(self, batches: Sequence[GroupBatch], lease: float) -> list[bool]:
        """Extend the claims of batches to `lease` seconds from now. False: the claim was lost."""
        ...

    async def merge_group(self, batch: GroupBatch, merged: Entry) -> Admission | Replaced | None:
        """Replace the members of a batch by `merged` (rule 11). None: the claim was lost and nothing changed."""
        ...

    async def delete_batch(self, batch: GroupBatch) -> bool:
        """Delete the members of a batch (rule 11). False: the claim was lost and nothing changed."""
        ...

    async def return_batch(
        self, batch: GroupBatch, failure: GroupFailure | None = None, *, archive: bool = False
    ) -> bool:
        """Return the members of a batch to their group, at their age, and store `failure` with the group. With
        `archive`, archive them with its error instead. False: the claim was lost and nothing changed."""
        ...

    # schedules

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        """Note that a scheduler serves these schedules now; returns the state of each. A new schedule starts now:
        earlier ticks are not made up."""
        ...

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        """Take ticks of schedules and enqueue their entries (rule 17). Raises StorageFull."""
        ...

    async def record(self, events: Sequence[FireEvent]) -> None:
        """Store the events of schedules, for inspection (rule 18)."""
        ...

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        """Delete the states of schedules that no scheduler has registered after `before`; returns their number."""
        ...

    # servers and schedulers

    async def beat(self, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
        """Register a server or scheduler, or extend its registration, for `ttl` seconds."""
        ...

    async def leave(self, info: ServerInfo | SchedulerInfo) -> None:
        """Remove the registration of a server or scheduler."""
        ...

    # cancellation of running tasks

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        """Notify the servers that run these tasks. With `archive`, they archive the tasks instead of retrying them
        (servers of Go asynq only cancel them)."""
        ...

    def cancellations(self) -> AsyncIterator[Cancellation]:
        """The cancellations requested from the first `anext` on, until the iterator is closed. An empty queue name
        matches any queue that has the id: Go asynq sends no queue."""
        ...


@runtime_checkable
class Store(Broker, Inspection, Protocol):
    """A complete back end: both halves of the contract in one object."""

    def clone(self) -> Store: ...
