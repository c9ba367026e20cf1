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
    running attempt has left of itself (`Note.live`) goes with its lease.
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

import enum
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

import msgspec

from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.clock import Clock
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.findings import Finding
from asynqio.core.groups import GroupBatch, GroupPolicy
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerCard, ServerCard, StoreNode
from asynqio.core.lifecycle import Action, Lease, Settlement
from asynqio.core.schedules.records import Fire, FireEvent, Standing
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import LockHolder

#: The type under which an undecodable task is shown; its payload are the bytes found.
CORRUPT_TYPE = "asynqio:corrupt"

#: Told how far a long call is: how many of what it is about are done.
Progress: TypeAlias = Callable[[int], None]


class Admission(enum.Enum):
    """What became of one entry."""

    ACCEPTED = enum.auto()
    DUPLICATE = enum.auto()
    ID_CONFLICT = enum.auto()


class Fired(NamedTuple):
    """What became of one tick. No admission: it was taken before, or (`paused`) the schedule is paused."""

    admission: Admission | Replaced | None
    paused: bool = False


class Replaced(NamedTuple):
    """The entry became no task of its own: the waiting task of this id, which held its lock, was changed."""

    id: str


class Forwarded(NamedTuple):
    """`moved` tasks are pending now; the next one is due at `next_at` (None: none is waiting)."""

    moved: int
    next_at: float | None


class Expired(NamedTuple):
    """Leases that lapsed, and when the next one will if nobody renews it (None: no task is active)."""

    leases: list[Lease]
    next_at: float | None


class Claimed(NamedTuple):
    """Batches that are ours to aggregate, and when the next group will be ripe if nobody joins it."""

    batches: list[GroupBatch]
    next_at: float | None


class Swept(NamedTuple):
    """How many tasks were deleted, and when the next one will be (None: nothing waits for it)."""

    deleted: int
    next_at: float | None


class Note(msgspec.Struct, frozen=True):
    """What a running handler leaves with its task: a result, progress (JSON), what is known of the attempt so far
    with the lines of its log, or several of them."""

    lease: Lease
    result: bytes | None = None
    progress: bytes | None = None
    live: AttemptRecord | None = None


class Moved(enum.Enum):
    """What became of one task that an operator acted on. The last two are answers of `transfer` only."""

    DONE = enum.auto()
    NOT_FOUND = enum.auto()
    WRONG_STATE = enum.auto()
    #: Its uniqueness lock is held in the other queue.
    DUPLICATE = enum.auto()
    #: The other queue has a task with its id.
    ID_CONFLICT = enum.auto()


class Cancellation(NamedTuple):
    """Somebody wants this task canceled; `archive`: and archived instead of retried."""

    ref: TaskRef
    archive: bool = False


class Where(msgspec.Struct, frozen=True):
    """The tasks of one state of one queue; for AGGREGATING of one group, or of all when it is empty."""

    queue: str
    state: TaskState
    group: str = ""


class Page(msgspec.Struct, frozen=True):
    """At most `size` items from the `offset`-th on (0 is the first)."""

    size: int = 30
    offset: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or self.offset < 0:
            raise ValueError(f"{self!r}: size must be at least 1 and offset at least 0")


class Scan(NamedTuple):
    """One step of a walk: some tasks, and the place behind them for the next step. No place: that was the end."""

    infos: list[TaskInfo]
    after: str


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
    def distance(self) -> float:
        """Seconds to the store and back, as measured when it was opened; 0 if no network is between us and it.

        Calls over a network are better made ahead, and over a long way several at once.
        """
        ...

    def twin(self) -> Broker:
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

    async def note(self, notes: Sequence[Note]) -> list[bool]:
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

    async def meet(self, queue: str, ids: Sequence[str]) -> list[Standing]:
        """A scheduler serves these schedules now: what is known of each. One that is new is known from now on,
        and nothing of it is made up."""
        ...

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]: ...
    async def record(self, events: Sequence[FireEvent]) -> None:
        """Keep what schedules have put in, for people to look at."""
        ...

    async def forget(self, queue: str, ids: Sequence[str], before: float) -> int:
        """Drop what is known of schedules that nobody has met after `before`; how many there were."""
        ...

    # who is there

    async def beat(self, card: ServerCard | SchedulerCard, ttl: float) -> None: ...
    async def leave(self, card: ServerCard | SchedulerCard) -> None: ...

    # cancellation of running tasks

    async def cancel(self, refs: Sequence[TaskRef], *, archive: bool = False) -> None:
        """Tell whoever runs these tasks; `archive`: they shall be archived and not retried (Go's servers hear only
        that they are canceled)."""
        ...

    def cancellations(self) -> AsyncIterator[Cancellation]:
        """The tasks that somebody wants canceled, from the first `anext` on, until closed. An empty queue means
        whatever task has the id: Go asynq says no more."""
        ...


class Inspection(Protocol):
    """Looking at a store, and tidying it."""

    async def queues(self) -> list[str]: ...
    async def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        """The figures of each queue, at a price that does not grow with the number of tasks or groups (where that
        takes an estimate, `estimated` says so). `latency` and `oldest_pending_at` are those of the task that waits
        longest, among the first `FRONT` of the line. Raises QueueNotFound."""
        ...

    async def footprint(self, queues: Sequence[str]) -> list[int]:
        """About how many bytes each queue takes, from a sample of `SAMPLE` tasks of each state: it costs the same
        however long the queue is, and is as good as the tasks are alike. Raises QueueNotFound."""
        ...

    async def history(self, queue: str, days: int) -> list[DayStats]:
        """The last `days` days, today first. Raises QueueNotFound."""
        ...

    async def groups(self, queue: str) -> list[GroupStats]: ...
    async def tasks(self, where: Where, page: Page) -> list[TaskInfo]:
        """PENDING and ACTIVE in working order, SCHEDULED and RETRY earliest first, COMPLETED and ARCHIVED
        latest first, AGGREGATING oldest first. Raises QueueNotFound."""
        ...

    async def scan(self, where: Where, after: str, size: int) -> Scan:
        """At most `size` tasks behind the place `after` ("": from the beginning), in the order of `tasks`; there
        may be fewer, even none, before the end (19). Of AGGREGATING tasks one group is walked through: name it.
        Raises QueueNotFound, ValueError (no group, or a place that is none)."""
        ...

    async def group_names(self, queue: str) -> list[str]:
        """All groups that hold tasks, claimed or not. Raises QueueNotFound."""
        ...

    async def find(self, refs: Sequence[TaskRef]) -> list[TaskInfo | None]: ...
    async def move(
        self, action: Action, refs: Sequence[TaskRef], *, state: TaskState | None = None, near: str = ""
    ) -> list[Moved]:
        """`state`: act only on those that are still in it, the others answer WRONG_STATE. `near`: the `after` of
        the step that showed the first of them; in a long line they need not be searched then."""
        ...

    async def move_all(self, action: Action, where: Where) -> int: ...
    async def transfer(self, refs: Sequence[TaskRef], target: str) -> list[Moved]:
        """Put tasks that wait (`MoveTo.origins`) into the queue `target`, as they are: state, time, payload, retries,
        headers, group, result. PENDING ones join the end of the line there, those of one queue in the order
        given. Who holds its uniqueness lock holds it there from then on.

        WRONG_STATE also if it is in `target` already, DUPLICATE before ID_CONFLICT; a refused task stays as it
        is. Where two queues have no step in common (Redis), a task that is under way is nobody's for a moment:
        no server takes it. Should the caller die then, the same call made again, or a sweep of either queue a minute
        later, ends what was begun: at no moment can it be lost, and in no case is it taken from both queues.
        """
        ...

    async def rewrite(self, payloads: Mapping[TaskRef, bytes]) -> list[Moved]:
        """New payloads for tasks that wait (SCHEDULED, RETRY, PENDING, ARCHIVED); a uniqueness lock moves
        along."""
        ...

    async def flush_group(self, queue: str, group: str) -> int:
        """Make a group ripe at once, whatever its rule; how many unclaimed members it has. Raises QueueNotFound."""
        ...

    async def pause(self, queue: str, paused: bool) -> bool:
        """False: it was so already. A queue may be paused before its first task."""
        ...

    async def pause_type(self, queue: str, type: str, paused: bool) -> bool:
        """Tasks of this type are not to be run by servers of ours, or are again; Go's know nothing of it. False: it
        was so already. May come before the first task."""
        ...

    async def drop(self, queue: str, *, force: bool = False, progress: Progress | None = None) -> None:
        """Remove the queue with everything in it and of it. Raises QueueNotFound, WrongState (active tasks; or any
        task at all without `force`).

        It is paused first, and goes in steps, so that nobody else waits long; `progress` is called with the number of
        tasks that are gone. Who is interrupted leaves a paused queue that has fewer tasks, and calls again."""
        ...

    async def lock_holder(self, queue: str, key: str) -> LockHolder | None:
        """The task that holds a uniqueness lock (`TaskMessage.unique_key`) now; None: nobody does."""
        ...

    async def nodes(self) -> list[StoreNode]:
        """What the store is made of, for people to look at; nothing where it does not say, or may not be asked."""
        ...

    async def servers(self) -> list[ServerCard]: ...
    async def schedulers(self) -> list[SchedulerCard]: ...
    async def standings(self, queue: str) -> dict[str, Standing]:
        """What is known of the schedules of a queue, by their ids; nothing when there is no such queue."""
        ...

    async def hold(self, queue: str, id: str, paused: bool) -> bool:
        """Pause a schedule, or let it go on: its ticks meanwhile are not made up. False: it was so already."""
        ...

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        """What a schedule has put in, newest first."""
        ...

    async def examine(self, *, fix: bool = False, progress: Progress | None = None) -> list[Finding]:
        """What is wrong with the store itself and with what is in it, as far as only this kind of store can have it
        (settings, disks, ids without tasks). Looks through everything, in steps that block nobody; `progress` is
        called with the number of tasks and keys that were looked at. `fix`: what is fixable is put right, and is
        `fixed` then; nothing is deleted that somebody could still want."""
        ...


@runtime_checkable
class Store(Broker, Inspection, Protocol):
    """What every back end is: both."""

    def twin(self) -> Store: ...
