"""The protobuf messages of Go asynq as classes; docs/reference/redis-layout.md describes them.

The descriptors are built at run time in a separate pool: no generated file, and no conflict with another version of
them in the same process.
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_STRING, _BYTES, _BOOL = _Field.TYPE_STRING, _Field.TYPE_BYTES, _Field.TYPE_BOOL
_INT32, _INT64 = _Field.TYPE_INT32, _Field.TYPE_INT64

#: Message → field → number and type. A string names a message, a dict is a map from strings, a list a repeated field.
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
#: Fields whose presence matters: a missing payload and an empty one are different.
_OPTIONAL = {("TaskMessage", "payload")}
#: The largest number that Go can read from an int32 field.
INT32_MAX = 2**31 - 1
#: Go's zero time (year 1) in seconds of the epoch.
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

_Time = CLASSES["Timestamp"]


def timestamp(moment: float) -> Any:
    """A Timestamp from seconds of the epoch."""
    seconds = math.floor(moment)
    return _Time(seconds=seconds, nanos=int((moment - seconds) * 1e9))


def moment(time: Any) -> float:
    """Seconds of the epoch from a Timestamp."""
    return float(time.seconds) + float(time.nanos) / 1e9
