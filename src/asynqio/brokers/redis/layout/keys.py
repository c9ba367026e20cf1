"""The keys of the layout; docs/reference/redis-layout.md describes their contents.

Keys that are shared with Go asynq have Go's names. Ours alone are hash fields that begin with `asynqio:` and keys
under `asynq:{<queue>}:asynqio:`; Go never touches either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

#: The set of all queues.
QUEUES = "asynq:queues"
#: Sorted sets of the keys of servers, their workers, and schedulers, by expiry.
SERVERS = "asynq:servers"
WORKERS = "asynq:workers"
SCHEDULERS = "asynq:schedulers"
#: Pub/Sub channels for cancellation: Go's carries the bare task id, ours carries the queue too.
CANCEL = "asynq:cancel"
OWN_CANCEL = "asynqio:cancel"


class QueueKeys:
    """The keys of one queue. All contain its name in braces, so a cluster keeps them in one slot."""

    __slots__ = (
        "active",
        "archived",
        "batches",
        "completed",
        "counts",
        "cron",
        "deadlines",
        "failed",
        "failures",
        "flushed",
        "group_rules",
        "groups",
        "known_groups",
        "lease",
        "left",
        "moving",
        "name",
        "old_messages",
        "paused",
        "paused_types",
        "pending",
        "prefix",
        "processed",
        "retry",
        "scheduled",
        "soon",
        "task_prefix",
        "throttles",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        prefix = self.prefix = f"asynq:{{{name}}}:"
        self.task_prefix = f"{prefix}t:"
        self.pending = f"{prefix}pending"
        self.active = f"{prefix}active"
        self.lease = f"{prefix}lease"
        #: Active tasks of Go servers older than 0.22, which have no lease, by the end of their timeout.
        self.deadlines = f"{prefix}deadlines"
        self.scheduled = f"{prefix}scheduled"
        self.retry = f"{prefix}retry"
        self.archived = f"{prefix}archived"
        self.completed = f"{prefix}completed"
        self.paused = f"{prefix}paused"
        self.processed = f"{prefix}processed"
        self.failed = f"{prefix}failed"
        self.groups = f"{prefix}groups"
        #: Go's `aggregation_sets`: the claimed batches, by the time at which they are released.
        self.batches = f"{prefix}aggregation_sets"
        #: Ours: a hash that counts evicted and quarantined tasks.
        self.counts = f"{prefix}asynqio:counts"
        #: Ours: a hash of the schedules whose tasks go to this queue, and their last ticks.
        self.cron = f"{prefix}asynqio:cron"
        #: Ours: a hash of flushed groups → time: a group is ripe while a member at least as old as this is waiting.
        self.flushed = f"{prefix}asynqio:flushed"
        #: Ours: a hash of groups → their failed aggregations in a row.
        self.failures = f"{prefix}asynqio:group_failures"
        #: Ours: a hash of the sets of rules by which servers aggregate → until when it is in use, and more.
        self.group_rules = f"{prefix}asynqio:group_rules"
        #: Ours: groups that had members, by the time until which to remember them: Go does not list all groups.
        self.known_groups = f"{prefix}asynqio:groups"
        #: Ours: due messages in the layout of Go before 0.18, by due time. They are kept, not run.
        self.old_messages = f"{prefix}asynqio:old"
        #: Ours: a hash of paused task types → time of pausing.
        self.paused_types = f"{prefix}asynqio:paused_types"
        #: Ours: tasks in transfer to or from another queue, by the time at which the transfer began.
        self.moving = f"{prefix}asynqio:moving"
        #: Ours: committed transfers that are not finished, as `<id>\\n<transfer id>`, by time of commit.
        self.left = f"{prefix}asynqio:left"
        #: Ours: tasks of `scheduled` and `retry` that were due within a second, by their exact due time.
        self.soon = f"{prefix}asynqio:soon"
        #: Ours: locks that outlive their task, as `<id>\\n<lock>`, by their exact expiry.
        self.throttles = f"{prefix}asynqio:locks"

    def task(self, id: str) -> str:
        """The hash of one task."""
        return self.task_prefix + id

    def group(self, name: str) -> str:
        """The members of a group that are not claimed."""
        return f"{self.prefix}g:{name}"

    def batch(self, group: str, id: str) -> str:
        """The members of a claimed batch (in Go: an aggregation set)."""
        return f"{self.prefix}g:{group}:{id}"

    def due_groups(self, rules: str) -> str:
        """Ours: the groups that a set of rules matches, by the time at which to check them."""
        return f"{self.prefix}asynqio:due:{rules}"

    def call(self, slot: str) -> str:
        """Ours: the last call of a client in this slot; see `call_slots.py`."""
        return f"{self.prefix}asynqio:call:{slot}"

    def processed_on(self, day: str) -> str:
        return f"{self.processed}:{day}"

    def failed_on(self, day: str) -> str:
        return f"{self.failed}:{day}"


@lru_cache(maxsize=1_024)
def queue_keys(name: str) -> QueueKeys:
    """The keys of this queue; cached."""
    return QueueKeys(name)


@lru_cache(maxsize=512)
def day_of(number: int) -> str:
    """A day (UTC) as in the keys of daily counters; `number` is days since the epoch."""
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")


def server_key(host: str, pid: int, id: str) -> str:
    """The ServerInfo of a server, for Go's inspectors."""
    return f"asynq:servers:{{{host}:{pid}:{id}}}"


def workers_key(host: str, pid: int, id: str) -> str:
    """The WorkerInfo of each task that a server is running, for Go's inspectors."""
    return f"asynq:workers:{{{host}:{pid}:{id}}}"


def scheduler_key(id: str) -> str:
    """The entries of a scheduler, for Go's inspectors."""
    return f"asynq:schedulers:{{{id}}}"


class CollectionKeys:
    """The keys of a collection of documents."""

    __slots__ = ("documents", "name")

    def __init__(self, collection: str) -> None:
        #: Differs from the name of any queue.
        self.name = ("collection", collection)
        #: Ours: a hash of the collection's revision (`revision`) and documents (`d:<name>`).
        self.documents = f"asynqio:collection:{{{collection}}}"

    def call(self, slot: str) -> str:
        """Ours: the last call of a client in this slot; see `call_slots.py`."""
        return f"{self.documents}:call:{slot}"


def log_key(name: str) -> str:
    """Ours: a sorted set of a log's entries, as `<number>:<time>:<data>`, by number."""
    return f"asynqio:log:{{{name}}}"


def history_key(schedule_id: str) -> str:
    """The enqueue events of a schedule."""
    return f"asynq:scheduler_history:{schedule_id}"


def record_key(server_key: str) -> str:
    """Ours: the complete record of a server or scheduler, in the same slot as the messages that Go reads."""
    return "asynqio" + server_key.removeprefix("asynq")


def decode_lossy(data: bytes) -> str:
    """An id or name as text. Invalid UTF-8 is replaced, so that listing never fails."""
    return data.decode("utf-8", "replace")


def is_old_message(member: bytes) -> bool:
    """Whether a member of a list or set is a whole message as Go before 0.18 stores it (JSON) instead of an id."""
    return member.startswith(b'{"Type":"')
