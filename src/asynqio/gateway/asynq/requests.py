"""The requests of the asynq-server protocol: 23 types, one JSON object per message.

    {"type": "enqueue", "data": {"task_type": "email:send", "payload": "e30=", ...}}

Keys that a request does not know are ignored, as Rust's serde does. A top-level `id` is asynqio's extension: the
answer repeats it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from asynqio.gateway.errors import InvalidFrame

I32 = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
I64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
#: Rust's u64, as far as msgspec and the stores can represent it.
U64 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
#: A header of Rust is a string, or an array of strings if it has several values.
Headers: TypeAlias = dict[str, str | list[str]]


class NewTask(msgspec.Struct, frozen=True, gc=False):
    """What `enqueue` stores. None: the default of the gateway.

    `timeout` and `retention` in seconds and `deadline` in seconds since the epoch are asynqio's extension.
    """

    task_type: str
    payload: bytes
    headers: Headers = {}
    queue: str | None = None
    max_retry: I32 | None = None
    task_id: str | None = None
    timeout: U64 | None = None
    deadline: U64 | None = None
    retention: U64 | None = None


class UniqueTask(NewTask, frozen=True, kw_only=True, gc=False):
    """`ttl_seconds`: how long the lock is held."""

    ttl_seconds: U64


class ScheduledTask(NewTask, frozen=True, kw_only=True):
    """`process_at`: seconds since the epoch."""

    process_at: I64


class UniqueScheduledTask(NewTask, frozen=True, kw_only=True):
    """A task with both."""

    process_at: I64
    ttl_seconds: U64


class GroupTask(NewTask, frozen=True, kw_only=True):
    """A task that joins a group."""

    group: str


class UniqueGroupTask(NewTask, frozen=True, kw_only=True):
    """A task that joins a group, with a lock."""

    group: str
    ttl_seconds: U64


class Queues(msgspec.Struct, frozen=True):
    """Queues in the order in which to look at them."""

    queues: list[str]


class Ended(msgspec.Struct, frozen=True):
    """The task of an attempt that has ended. Only queue and id count: the stored task is the truth."""

    task_id: str
    queue: str
    task_type: str
    payload: bytes


class Retried(Ended, frozen=True, kw_only=True):
    """`process_at`: when to run it again. `is_failure`: whether the attempt counts."""

    process_at: I64
    error_msg: str
    is_failure: bool


class Failed(Ended, frozen=True, kw_only=True):
    """The last error of a task that is archived."""

    error_msg: str


class TaskId(msgspec.Struct, frozen=True):
    """A task in any queue."""

    task_id: str


class Queue(msgspec.Struct, frozen=True):
    """One queue."""

    queue: str


class GroupRuleOf(msgspec.Struct, frozen=True):
    """The rule by which a consumer aggregates a group."""

    queue: str
    group: str
    aggregation_delay_seconds: U64
    max_delay_seconds: U64
    max_size: U64


class GroupSet(msgspec.Struct, frozen=True):
    """A batch of a group."""

    queue: str
    group: str
    set_id: str


class Cutoff(msgspec.Struct, frozen=True):
    """Queues, and the time before which a lease counts as expired."""

    cutoff: I64
    queues: list[str]


class Extension(msgspec.Struct, frozen=True):
    """A lease to extend."""

    queue: str
    task_id: str
    lease_duration_seconds: U64


class RunningTask(msgspec.Struct, frozen=True):
    """A task that a consumer runs."""

    host: str
    pid: I32
    server_id: str
    task_id: str
    task_type: str
    task_payload: bytes
    queue: str


class ServerId(msgspec.Struct, frozen=True):
    """A consumer."""

    host: str
    pid: I32
    server_id: str


class ServerState(ServerId, frozen=True, kw_only=True):
    """The heartbeat of a consumer. It is valid for `ttl_seconds`."""

    concurrency: I32
    queues: dict[str, I32]
    strict_priority: bool
    status: str
    active_worker_count: I32
    ttl_seconds: U64
    workers: list[RunningTask]


class Result(msgspec.Struct, frozen=True):
    """What a handler has written."""

    queue: str
    task_id: str
    result: bytes


class Request(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """One message from a client."""

    id: str | int | None = None


class Ping(Request, frozen=True, tag="ping"):
    """Answered by `pong`."""

    data: None = None


class Enqueue(Request, frozen=True, tag="enqueue"):
    """Answered by `task_info`, as are the five below."""

    data: NewTask


class EnqueueUnique(Request, frozen=True, tag="enqueue_unique"):
    data: UniqueTask


class Schedule(Request, frozen=True, tag="schedule"):
    data: ScheduledTask


class ScheduleUnique(Request, frozen=True, tag="schedule_unique"):
    data: UniqueScheduledTask


class AddToGroup(Request, frozen=True, tag="add_to_group"):
    data: GroupTask


class AddToGroupUnique(Request, frozen=True, tag="add_to_group_unique"):
    data: UniqueGroupTask


class Dequeue(Request, frozen=True, tag="dequeue"):
    """Answered at once by `dequeue_result`: a task, or null."""

    data: Queues


class Done(Request, frozen=True, tag="done"):
    data: Ended


class MarkComplete(Request, frozen=True, tag="mark_complete"):
    data: Ended


class Retry(Request, frozen=True, tag="retry"):
    data: Retried


class Archive(Request, frozen=True, tag="archive"):
    data: Failed


class SubscribeCancellation(Request, frozen=True, tag="subscribe_cancellation"):
    data: None = None


class PublishCancellation(Request, frozen=True, tag="publish_cancellation"):
    data: TaskId


class ListGroups(Request, frozen=True, tag="list_groups"):
    """Answered by `groups_list`."""

    data: Queue


class AggregationCheck(Request, frozen=True, tag="aggregation_check"):
    """Answered by `aggregation_set_id`: a batch that is ripe, or null."""

    data: GroupRuleOf


class ReadAggregationSet(Request, frozen=True, tag="read_aggregation_set"):
    """Answered by `aggregation_set`: the members of the batch."""

    data: GroupSet


class DeleteAggregationSet(Request, frozen=True, tag="delete_aggregation_set"):
    data: GroupSet


class ListLeaseExpired(Request, frozen=True, tag="list_lease_expired"):
    """Answered by `lease_expired_tasks`."""

    data: Cutoff


class ExtendLease(Request, frozen=True, tag="extend_lease"):
    data: Extension


class WriteServerState(Request, frozen=True, tag="write_server_state"):
    data: ServerState


class ClearServerState(Request, frozen=True, tag="clear_server_state"):
    data: ServerId


class WriteResult(Request, frozen=True, tag="write_result"):
    data: Result


AnyRequest: TypeAlias = (
    Ping
    | Enqueue
    | EnqueueUnique
    | Schedule
    | ScheduleUnique
    | AddToGroup
    | AddToGroupUnique
    | Dequeue
    | Done
    | MarkComplete
    | Retry
    | Archive
    | SubscribeCancellation
    | PublishCancellation
    | ListGroups
    | AggregationCheck
    | ReadAggregationSet
    | DeleteAggregationSet
    | ListLeaseExpired
    | ExtendLease
    | WriteServerState
    | ClearServerState
    | WriteResult
)

_decode: Any = msgspec.json.Decoder(AnyRequest).decode


def decode(message: bytes | str) -> AnyRequest:
    """The request in a message. Raises InvalidFrame, whose text names the field."""
    try:
        request: AnyRequest = _decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidFrame(_sentence(str(error) or type(error).__name__)) from None
    return request


def _sentence(text: str) -> str:
    """Rust's clients look for these beginnings."""
    if "base64" in text:
        return f"Invalid message: Invalid base64 payload: {text}"
    return f"Invalid message: {text}"
