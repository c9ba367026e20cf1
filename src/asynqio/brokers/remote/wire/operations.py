"""The table of operations: the methods of the contract, and what the connection itself needs.

Both sides make their encoders and decoders from it. The order of the arguments is part of the protocol.
"""

from __future__ import annotations

from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.inspection import Page, Scan, Where
from asynqio.brokers.contract.results import Admission, Claimed, Fired, Forwarded, Moved, Replaced, Swept
from asynqio.brokers.remote.wire import values
from asynqio.brokers.remote.wire.operation import Answer, Operation, Parameter
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.findings import Finding
from asynqio.core.groups import GroupBatch, GroupFailure
from asynqio.core.info import DayStats, GroupStats, QueueStats, SchedulerInfo, ServerInfo, StoreNode
from asynqio.core.lifecycle import Action
from asynqio.core.schedules.firing import Fire, FireEvent, ScheduleState
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import LockHolder

#: The version of this protocol, as in the header of the same name.
VERSION_HEADER, VERSION = "asynqio-protocol", "1"

_QUEUE = Parameter("queue", str)
_QUEUES = Parameter("queues", list[str])
_REFS = Parameter("refs", list[TaskRef])
_IDS = Parameter("ids", list[str])
_LIMIT = Parameter("limit", int)
_LEASE = Parameter("lease", float)
_LEASES = Parameter("leases", list[values.HeldTask], values.pack_held, values.unpack_held)
_LEASED = Answer(list[values.LeasedTask], values.pack_leases, values.unpack_leases)
_PAUSED = Parameter("paused", bool)
_INFO = Parameter("info", values.Registration, values.pack_info, values.unpack_info)
_PAGE = Parameter("page", Page)
_WHERE = Parameter("where", Where)
_NOTHING = Answer(type(None))

#: Of `Broker`.
_BROKER = (
    Operation("ping", _NOTHING, repeatable=True),
    Operation("enqueue", list[Admission | Replaced], Parameter("entries", list[Entry])),
    Operation("dequeue", _LEASED, _QUEUES, _LIMIT, _LEASE, Parameter("owner", str), Parameter("timed", bool)),
    Operation(
        "renew",
        list[float | None],
        _LEASES,
        _LEASE,
        repeatable=True,
        result=values.renewed_until,
    ),
    Operation("renew_owner", int, Parameter("owner", str), _LEASE, repeatable=True),
    Operation(
        "settle",
        list[bool],
        Parameter(
            "settlements", list[values.SettledTask], values.pack_settlements, values.unpack_settlements
        ),
    ),
    Operation(
        "write_output",
        list[bool],
        Parameter("outputs", list[values.WrittenOutput], values.pack_outputs, values.unpack_outputs),
        repeatable=True,
    ),
    Operation("attempts", list[list[AttemptRecord]], _REFS, repeatable=True),
    Operation("paused_types", dict[str, dict[str, float]], _QUEUES, repeatable=True),
    Operation("forward", Forwarded, _QUEUES, _LIMIT),
    Operation(
        "expired",
        Answer(values.ExpiredLeases, values.pack_expired, values.unpack_expired),
        _QUEUES,
        _LIMIT,
        repeatable=True,
    ),
    Operation("accepts_writes", list[bool], _QUEUES, repeatable=True),
    Operation("sweep", Swept, _QUEUES, _LIMIT),
    Operation(
        "claim_groups",
        Claimed,
        _QUEUES,
        Parameter("policy", values.Rules, values.pack_policy, values.unpack_policy),
        _LIMIT,
    ),
    Operation(
        "renew_batches",
        list[bool],
        Parameter("batches", list[GroupBatch], values.pack_claims),
        _LEASE,
        repeatable=True,
    ),
    Operation(
        "merge_group",
        Admission | Replaced | None,
        Parameter("batch", GroupBatch, values.pack_claim),
        Parameter("merged", Entry),
    ),
    Operation("delete_batch", bool, Parameter("batch", GroupBatch, values.pack_claim)),
    Operation(
        "return_batch",
        bool,
        Parameter("batch", GroupBatch),
        Parameter("failure", GroupFailure | None),
        Parameter("archive", bool),
    ),
    Operation("register_schedules", list[ScheduleState], _QUEUE, _IDS, repeatable=True),
    Operation("fire", list[Fired], Parameter("fires", list[Fire])),
    Operation("record", _NOTHING, Parameter("events", list[FireEvent])),
    Operation("prune_schedules", int, _QUEUE, _IDS, Parameter("before", float)),
    Operation("beat", _NOTHING, _INFO, Parameter("ttl", float), repeatable=True),
    Operation("leave", _NOTHING, _INFO, repeatable=True),
    Operation("cancel", _NOTHING, _REFS, Parameter("archive", bool)),
)

#: Of `Inspection`.
_INSPECTION = (
    Operation("queues", list[str], repeatable=True),
    Operation("stats", list[QueueStats], _QUEUES, repeatable=True),
    Operation("memory_usage", list[int], _QUEUES, repeatable=True),
    Operation("history", list[DayStats], _QUEUE, Parameter("days", int), repeatable=True),
    Operation("groups", list[GroupStats], _QUEUE, Parameter("names", list[str] | None), repeatable=True),
    Operation("group_names", list[str], _QUEUE, repeatable=True),
    Operation("tasks", list[TaskInfo], _WHERE, _PAGE, repeatable=True),
    Operation(
        "scan",
        Scan,
        _WHERE,
        Parameter("after", str),
        Parameter("size", int),
        repeatable=True,
        value_errors=True,
    ),
    Operation("find", list[TaskInfo | None], _REFS, repeatable=True),
    Operation("lock_holder", LockHolder | None, _QUEUE, Parameter("key", str), repeatable=True),
    Operation(
        "move",
        list[Moved],
        Parameter("action", Action),
        _REFS,
        Parameter("state", TaskState | None),
        Parameter("near", str),
    ),
    Operation("move_all", int, Parameter("action", Action), _WHERE),
    Operation("transfer", list[Moved], _REFS, Parameter("target", str)),
    Operation(
        "rewrite",
        list[Moved],
        Parameter("payloads", list[tuple[TaskRef, bytes]], values.pack_payloads, values.unpack_payloads),
    ),
    Operation("flush_group", int, _QUEUE, Parameter("group", str)),
    Operation("pause", bool, _QUEUE, _PAUSED),
    Operation("pause_type", bool, _QUEUE, Parameter("type", str), _PAUSED),
    Operation("remove_queue", _NOTHING, _QUEUE, Parameter("force", bool), progress=True),
    Operation("servers", list[ServerInfo], repeatable=True),
    Operation("schedulers", list[SchedulerInfo], repeatable=True),
    Operation("schedule_states", dict[str, ScheduleState], _QUEUE, repeatable=True),
    Operation("pause_schedule", bool, _QUEUE, Parameter("id", str), _PAUSED),
    Operation("fires", list[FireEvent], Parameter("schedule_id", str), _PAGE, repeatable=True),
    Operation(
        "collection",
        Collection | None,
        Parameter("name", str),
        Parameter("known", int),
        repeatable=True,
    ),
    Operation(
        "put_document",
        int | None,
        Parameter("collection", str),
        Parameter("name", str),
        Parameter("data", bytes | None),
        Parameter("known", int | None),
    ),
    Operation(
        "append_log",
        _NOTHING,
        Parameter("log", str),
        Parameter("entries", list[bytes]),
        Parameter("keep", int),
        Parameter("age", float),
    ),
    Operation(
        "read_log",
        list[LogEntry],
        Parameter("log", str),
        Parameter("before", int | None),
        _LIMIT,
        repeatable=True,
    ),
    Operation("nodes", list[StoreNode], repeatable=True),
    Operation("examine", list[Finding], Parameter("fix", bool), progress=True),
)

#: Of the connection: not of the store.
_SESSION = (
    #: The time of the gateway's store.
    Operation("time", float),
    #: Report signals on these topics, as notices with this number, until `unwatch`.
    Operation("watch", _NOTHING, Parameter("number", int), Parameter("topics", list[tuple[str, ...]])),
    Operation("unwatch", _NOTHING, Parameter("number", int)),
    #: Report cancellations, until `unlisten`.
    Operation("listen", _NOTHING),
    Operation("unlisten", _NOTHING),
)

#: The operations of a store, and those of the connection, by name.
OF_STORE: dict[str, Operation] = {one.name: one for one in (*_BROKER, *_INSPECTION)}
OF_SESSION: dict[str, Operation] = {one.name: one for one in _SESSION}

#: What `Store` has besides the operations: each side does it itself, or by notices.
LOCAL = frozenset(
    {
        "archive_limit",
        "cancellations",
        "check",
        "clock",
        "clone",
        "private_url",
        "producer",
        "round_trip",
        "shared",
        "url",
        "watch",
    }
)
