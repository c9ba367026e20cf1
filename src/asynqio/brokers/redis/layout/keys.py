"""Every key and hash field of the layout, by name (spec: redis wire format, sections 1.1 to 1.3).

What is shared with Go asynq is called as Go calls it. What is ours alone is a field that begins with
`asynqio:` or a key under `asynq:{<queue>}:asynqio:`; Go never touches either.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

#: The set of all known queues.
QUEUES = "asynq:queues"
#: Sorted sets of the keys below, by when they lapse.
SERVERS = "asynq:servers"
WORKERS = "asynq:workers"
SCHEDULERS = "asynq:schedulers"
#: Where Go publishes the id of a task that is to be cancelled, and where we add the queue.
CANCEL = "asynq:cancel"
OWN_CANCEL = "asynqio:cancel"


class QueueKeys:
    """The keys of one queue. All carry its name in braces, so a cluster keeps them on one node."""

    __slots__ = (
        "active",
        "archived",
        "batches",
        "completed",
        "counts",
        "cron",
        "failed",
        "flushed",
        "groups",
        "known_groups",
        "lease",
        "left",
        "moving",
        "name",
        "paused",
        "paused_types",
        "pending",
        "prefix",
        "processed",
        "retry",
        "scheduled",
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
        self.scheduled = f"{prefix}scheduled"
        self.retry = f"{prefix}retry"
        self.archived = f"{prefix}archived"
        self.completed = f"{prefix}completed"
        self.paused = f"{prefix}paused"
        self.processed = f"{prefix}processed"
        self.failed = f"{prefix}failed"
        self.groups = f"{prefix}groups"
        #: Go's `aggregation_sets`: the batches that somebody aggregates now, by when they are given back.
        self.batches = f"{prefix}aggregation_sets"
        #: Ours: evicted and quarantined tasks, as a hash of counters.
        self.counts = f"{prefix}asynqio:counts"
        #: Ours: the schedules whose tasks go to this queue, and their last ticks.
        self.cron = f"{prefix}asynqio:cron"
        #: Ours: groups that were flushed, as a hash: as long as a member waits that is as old as this, they are ripe.
        self.flushed = f"{prefix}asynqio:flushed"
        #: Ours: groups that had members once, to find those that Go forgot to list.
        self.known_groups = f"{prefix}asynqio:groups"
        #: Ours: task types that nobody is to work on, and since when, as a hash.
        self.paused_types = f"{prefix}asynqio:paused_types"
        #: Ours: tasks on their way to or from another queue, by when they set out.
        self.moving = f"{prefix}asynqio:moving"
        #: Ours: tasks that went elsewhere and may not live there yet, as `<id>\\n<journey>`, by when they went.
        self.left = f"{prefix}asynqio:left"
        #: Ours: locks that belong to no task, as `<id>\\n<lock>`, by their exact end.
        self.throttles = f"{prefix}asynqio:locks"

    def task(self, id: str) -> str:
        """The hash of one task."""
        return self.task_prefix + id

    def group(self, name: str) -> str:
        """The members of a group that nobody has claimed."""
        return f"{self.prefix}g:{name}"

    def batch(self, group: str, id: str) -> str:
        """The members of a claimed batch (Go: an aggregation set)."""
        return f"{self.prefix}g:{group}:{id}"

    def processed_on(self, day: str) -> str:
        return f"{self.processed}:{day}"

    def failed_on(self, day: str) -> str:
        return f"{self.failed}:{day}"


@lru_cache(maxsize=1_024)
def queue_keys(name: str) -> QueueKeys:
    """The keys of this queue, made once."""
    return QueueKeys(name)


@lru_cache(maxsize=512)
def day_of(number: int) -> str:
    """The name of a day (UTC) in the keys of its counters; `number` is days since the epoch."""
    return datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d")


def server_key(host: str, pid: int, id: str) -> str:
    """What a server says of itself, for Go's inspectors."""
    return f"asynq:servers:{{{host}:{pid}:{id}}}"


def workers_key(host: str, pid: int, id: str) -> str:
    """The tasks that a server is running, for Go's inspectors."""
    return f"asynq:workers:{{{host}:{pid}:{id}}}"


def scheduler_key(id: str) -> str:
    """The entries of a scheduler, for Go's inspectors."""
    return f"asynq:schedulers:{{{id}}}"


def history_key(schedule_id: str) -> str:
    """What a schedule has put in."""
    return f"asynq:scheduler_history:{schedule_id}"


def card_key(server_key: str) -> str:
    """Ours: the whole card of a server or scheduler, in the same slot as what Go reads of it."""
    return "asynqio" + server_key.removeprefix("asynq")
