"""Task messages and cards as the protobuf messages of Go asynq, and back (spec: redis wire format, section 2).

The descriptors are built at run time in a pool of their own: no generated file, and no clash with another
version of them in the same process. Times and durations have whole seconds on this wire: durations and
deadlines are rounded up (B33: Go drops the fraction, so that half a second becomes "none").
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from asynqio.core.info import ServerInfo, WorkerInfo
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.unique import UniqueUntil
from asynqio.errors import CorruptMessage, InvalidTask

_Field = descriptor_pb2.FieldDescriptorProto
_STRING, _BYTES, _BOOL = _Field.TYPE_STRING, _Field.TYPE_BYTES, _Field.TYPE_BOOL
_INT32, _INT64 = _Field.TYPE_INT32, _Field.TYPE_INT64

#: Message → field → number and type; a type that is a string names a message, in brackets it is a map to int32
#: or string, a list is a repeated field.
_MESSAGES: dict[str, dict[str, tuple[int, Any]]] = {
    "Timestamp": {"seconds": (1, _INT64), "nanos": (2, _INT32)},
    "TaskMessage": {
        "type": (1, _STRING),
        "payload": (2, _BYTES),
        "id": (3, _STRING),
        "queue": (4, _STRING),
        "retry": (5, _INT32),
        "retried": (6, _INT32),
        "error_msg": (7, _STRING),
        "timeout": (8, _INT64),
        "deadline": (9, _INT64),
        "unique_key": (10, _STRING),
        "last_failed_at": (11, _INT64),
        "retention": (12, _INT64),
        "completed_at": (13, _INT64),
        "group_key": (14, _STRING),
        "headers": (15, {"value": _STRING}),
    },
    "ServerInfo": {
        "host": (1, _STRING),
        "pid": (2, _INT32),
        "server_id": (3, _STRING),
        "concurrency": (4, _INT32),
        "queues": (5, {"value": _INT32}),
        "strict_priority": (6, _BOOL),
        "status": (7, _STRING),
        "start_time": (8, "Timestamp"),
        "active_worker_count": (9, _INT32),
    },
    "WorkerInfo": {
        "host": (1, _STRING),
        "pid": (2, _INT32),
        "server_id": (3, _STRING),
        "task_id": (4, _STRING),
        "task_type": (5, _STRING),
        "task_payload": (6, _BYTES),
        "queue": (7, _STRING),
        "start_time": (8, "Timestamp"),
        "deadline": (9, "Timestamp"),
    },
    "SchedulerEntry": {
        "id": (1, _STRING),
        "spec": (2, _STRING),
        "task_type": (3, _STRING),
        "task_payload": (4, _BYTES),
        "enqueue_options": (5, [_STRING]),
        "next_enqueue_time": (6, "Timestamp"),
        "prev_enqueue_time": (7, "Timestamp"),
    },
    "SchedulerEnqueueEvent": {"task_id": (1, _STRING), "enqueue_time": (2, "Timestamp")},
}
#: The one field of which we must know whether it was there: no payload and an empty one are different.
_OPTIONAL = {("TaskMessage", "payload")}
#: The largest number that Go can read where it has an int32.
_INT32_MAX = 2**31 - 1
#: What may stand behind the strikes.
_UNTIL = {b"": UniqueUntil.FINISHED, b"started": UniqueUntil.STARTED, b"ended": UniqueUntil.ENDED}
_NO_STRIKES = (0, 0, UniqueUntil.FINISHED)
#: Go's zero time, the year 1, in seconds of the epoch.
GO_ZERO = -62_135_596_800


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="asynqio/asynq.proto", package="asynq", syntax="proto3")
    for name, fields in _MESSAGES.items():
        _describe(file.message_type.add(name=name), fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"asynq.{name}"))
        for name in _MESSAGES
    }


def _describe(message: descriptor_pb2.DescriptorProto, fields: dict[str, tuple[int, Any]]) -> None:
    for name, (number, kind) in fields.items():
        field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        if isinstance(kind, dict):
            entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
            entry.options.map_entry = True
            _describe(entry, {"key": (1, _STRING), "value": (2, kind["value"])})
            field.label = _Field.LABEL_REPEATED
            field.type = _Field.TYPE_MESSAGE
            field.type_name = f".asynq.{message.name}.{entry.name}"
        elif isinstance(kind, list):
            field.label = _Field.LABEL_REPEATED
            [field.type] = kind
        elif isinstance(kind, str):
            field.type = _Field.TYPE_MESSAGE
            field.type_name = f".asynq.{kind}"
        else:
            field.type = kind
        if (message.name, name) in _OPTIONAL:
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{name}")


CLASSES = _build()
_Task, _Server, _Worker, _Time = (
    CLASSES[name] for name in ("TaskMessage", "ServerInfo", "WorkerInfo", "Timestamp")
)
_read_task = _Task.FromString


def encode_task(message: TaskMessage) -> bytes:
    """The bytes that are stored in the field `msg`. Raises InvalidTask for text that is not Unicode."""
    fields: dict[str, Any] = {
        "type": message.type,
        "id": message.id,
        "queue": message.queue,
        "retry": message.max_retry if message.max_retry < _INT32_MAX else _INT32_MAX,
    }
    if message.payload is not None:
        fields["payload"] = message.payload
    if message.retried:
        fields["retried"] = min(message.retried, _INT32_MAX)
    if message.last_error:
        fields["error_msg"] = message.last_error
    if message.timeout:
        fields["timeout"] = math.ceil(message.timeout)
    if message.deadline:
        fields["deadline"] = math.ceil(message.deadline)
    if message.unique_key:
        fields["unique_key"] = message.unique_key
    if message.last_failed_at:
        fields["last_failed_at"] = int(message.last_failed_at)
    if message.retention:
        fields["retention"] = math.ceil(message.retention)
    if message.completed_at:
        fields["completed_at"] = int(message.completed_at)
    if message.group:
        fields["group_key"] = message.group
    if message.headers:
        fields["headers"] = message.headers
    try:
        return bytes(_Task(**fields).SerializeToString())
    except (UnicodeError, ValueError) as problem:
        raise InvalidTask(f"task {message.id!r} cannot be written as a message: {problem}") from None


def decode_task(data: bytes, strikes: bytes | None = None) -> TaskMessage:
    """The task of a `msg` field; `strikes` is our own field beside it. Raises CorruptMessage."""
    try:
        read = _read_task(data)
    except DecodeError as problem:
        raise CorruptMessage(f"{len(data)} bytes that are not a task message: {problem}") from None
    id = read.id
    if not id:
        raise CorruptMessage(f"{len(data)} bytes that are not a task message: no id")
    payload = read.payload or (b"" if read.HasField("payload") else None)
    crashes, deferrals, until = decode_strikes(strikes) if strikes else _NO_STRIKES
    return TaskMessage(
        id,
        read.type,
        read.queue,
        payload,
        read.retry,
        read.retried,
        read.error_msg,
        read.last_failed_at,
        read.timeout,
        read.deadline,
        read.unique_key,
        read.group_key,
        read.retention,
        read.completed_at,
        dict(headers) if (headers := read.headers) else {},
        crashes,
        deferrals,
        until,
    )


def id_offset(message: TaskMessage) -> int:
    """Where in the encoded message its id stands, with what is before it: so that a script can put in another one."""
    before = [message.type.encode()] if message.type else []
    if message.payload is not None:
        before.append(message.payload)
    return sum(1 + -(-max(1, len(text).bit_length()) // 7) + len(text) for text in before)


def encode_strikes(message: TaskMessage) -> str:
    """What we keep of a task beside its message, as `crashes,deferrals`, and `,until` if its lock is not freed by
    Go's rule; empty when there is nothing."""
    if message.unique_until is not UniqueUntil.FINISHED:
        return f"{message.crashes},{message.deferrals},{message.unique_until.value}"
    if message.crashes or message.deferrals:
        return f"{message.crashes},{message.deferrals}"
    return ""


def decode_strikes(field: bytes) -> tuple[int, int, UniqueUntil]:
    """The reverse; anything that we did not write counts as nothing."""
    crashes, _, rest = field.partition(b",")
    deferrals, _, until = rest.partition(b",")
    if not crashes.isdigit() or not deferrals.isdigit() or until not in _UNTIL:
        return _NO_STRIKES
    return int(crashes), int(deferrals), _UNTIL[until]


def plain_id(card: ServerInfo) -> str:
    """What Go calls the id of a server: ours without the `<host>:<pid>:` that Go puts before it in the key."""
    return card.id.removeprefix(f"{card.host}:{card.pid}:")


def encode_server(card: ServerInfo) -> bytes:
    """Go's `ServerInfo`."""
    return bytes(
        _Server(
            host=card.host,
            pid=card.pid,
            server_id=plain_id(card),
            concurrency=min(card.concurrency, _INT32_MAX),
            queues=card.queues,
            strict_priority=card.strict_priority,
            status=card.status,
            start_time=timestamp(card.started_at),
            active_worker_count=len(card.workers),
        ).SerializeToString()
    )


def encode_worker(card: ServerInfo, worker: WorkerInfo) -> bytes:
    """Go's `WorkerInfo`."""
    return bytes(
        _Worker(
            host=card.host,
            pid=card.pid,
            server_id=plain_id(card),
            task_id=worker.id,
            task_type=worker.type,
            task_payload=worker.payload or b"",
            queue=worker.queue,
            start_time=timestamp(worker.started_at),
            deadline=timestamp(worker.deadline) if worker.deadline else _Time(seconds=GO_ZERO),
        ).SerializeToString()
    )


def decode_server(data: bytes, workers: list[bytes]) -> ServerInfo:
    """The card of a server that only left Go's messages. Raises CorruptMessage."""
    try:
        read = _Server.FromString(data)
        running = [_Worker.FromString(item) for item in workers]
    except DecodeError as problem:
        raise CorruptMessage(f"{len(data)} bytes that are no server card: {problem}") from None
    return ServerInfo(
        id=f"{read.host}:{read.pid}:{read.server_id}",
        host=read.host,
        pid=read.pid,
        started_at=moment(read.start_time),
        queues=dict(read.queues),
        strict_priority=read.strict_priority,
        concurrency=read.concurrency,
        status=read.status,
        workers=[
            WorkerInfo(
                item.queue,
                item.task_id,
                item.task_type,
                moment(item.start_time),
                max(moment(item.deadline), 0.0),
                payload=item.task_payload or None,
            )
            for item in running
        ],
    )


def timestamp(moment: float) -> Any:
    seconds = math.floor(moment)
    return _Time(seconds=seconds, nanos=int((moment - seconds) * 1e9))


def moment(time: Any) -> float:
    return float(time.seconds) + float(time.nanos) / 1e9
