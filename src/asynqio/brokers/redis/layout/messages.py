"""Task messages in protobuf, as Go asynq stores them.

Times and durations are whole seconds. Durations and deadlines are rounded up, because Go's rounding down turns half a
second into "none" (B33).
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.message import DecodeError

from asynqio.brokers.redis.layout.descriptors import CLASSES, INT32_MAX
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.unique import UniqueUntil
from asynqio.errors import CorruptMessage, InvalidTask

#: What may follow the failure counters.
_UNTIL = {b"": UniqueUntil.FINISHED, b"started": UniqueUntil.STARTED, b"ended": UniqueUntil.ENDED}
_NO_FAILURES = (0, 0, UniqueUntil.FINISHED)

_Task = CLASSES["TaskMessage"]
_read_task = _Task.FromString


def encode_task(message: TaskMessage) -> bytes:
    """The bytes of the field `msg`. Raises InvalidTask for text that is not valid Unicode."""
    fields: dict[str, Any] = {
        "type": message.type,
        "id": message.id,
        "queue": message.queue,
        "retry": message.max_retry if message.max_retry < INT32_MAX else INT32_MAX,
    }
    if message.payload is not None:
        fields["payload"] = message.payload
    if message.retried:
        fields["retried"] = min(message.retried, INT32_MAX)
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
    except (UnicodeError, ValueError) as error:
        raise InvalidTask(f"task {message.id!r} cannot be encoded as a message: {error}") from None


def decode_task(data: bytes, counters: bytes | None = None) -> TaskMessage:
    """The task of a field `msg`; `counters` is the stored field `asynqio:strikes`. Raises CorruptMessage."""
    try:
        read = _read_task(data)
    except DecodeError as error:
        raise CorruptMessage(f"{len(data)} bytes that are not a task message: {error}") from None
    id = read.id
    if not id:
        raise CorruptMessage(f"{len(data)} bytes that are not a task message: no id")
    payload = read.payload or (b"" if read.HasField("payload") else None)
    crashes, deferrals, until = decode_failure_counters(counters) if counters else _NO_FAILURES
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
    """The offset of the id field in the encoded message, where a script can replace it."""
    before = [message.type.encode()] if message.type else []
    if message.payload is not None:
        before.append(message.payload)
    return sum(1 + -(-max(1, len(text).bit_length()) // 7) + len(text) for text in before)


def encode_failure_counters(message: TaskMessage) -> str:
    """`crashes,deferrals`, and `,until` if the task's lock is not freed by Go's rule; empty if all are default.

    Stored beside the message in the field `asynqio:strikes`, which keeps its name because it is part of the layout.
    """
    if message.unique_until is not UniqueUntil.FINISHED:
        return f"{message.crashes},{message.deferrals},{message.unique_until.value}"
    if message.crashes or message.deferrals:
        return f"{message.crashes},{message.deferrals}"
    return ""


def decode_failure_counters(field: bytes) -> tuple[int, int, UniqueUntil]:
    """Decode `encode_failure_counters`; anything else counts as the default."""
    crashes, _, rest = field.partition(b",")
    deferrals, _, until = rest.partition(b",")
    if not crashes.isdigit() or not deferrals.isdigit() or until not in _UNTIL:
        return _NO_FAILURES
    return int(crashes), int(deferrals), _UNTIL[until]
