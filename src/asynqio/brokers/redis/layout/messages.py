"""Task messages in protobuf, as Go asynq stores them.

Times and durations are whole seconds. Durations and deadlines are rounded up, because Go's rounding down turns half a
second into "none" (B33).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError

from asynqio.brokers.redis.layout.descriptors import CLASSES, INT32_MAX
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.unique import UniqueUntil
from asynqio.errors import CorruptMessage, InvalidTask

#: What may follow the failure counters.
_UNTIL = {b"": UniqueUntil.FINISHED, b"started": UniqueUntil.STARTED, b"ended": UniqueUntil.ENDED}
_FINISHED = UniqueUntil.FINISHED
_NO_FAILURES = (0, 0, UniqueUntil.FINISHED)

_Task = CLASSES["TaskMessage"]
_read_task = _Task.FromString
#: The fields after the id that many tasks have in common, and those that hardly two have.
_COMMON = ("queue", "max_retry", "retried", "last_error", "timeout", "deadline", "retention", "group")
_OWN = ("unique_key", "headers")
_common: Callable[[TaskMessage], tuple[Any, ...]] = attrgetter(*_COMMON)
_all: Callable[[TaskMessage], tuple[Any, ...]] = attrgetter(*_COMMON, *_OWN)
#: The lengths that take one byte.
_SHORT = [bytes((length,)) for length in range(128)]


def encode_task(message: TaskMessage) -> bytes:
    """The bytes of the field `msg`. Raises InvalidTask for text that is not valid Unicode.

    Most tasks that are encoded at the same time differ only in payload and id: the bytes around these two are kept.
    Measured: 0.8 µs per task instead of 2.5 µs.
    """
    payload = message.payload
    try:
        id = message.id.encode()
        times = int(message.last_failed_at), int(message.completed_at)
        if message.unique_key or message.headers:
            rest = _encode_rest(*times, *_all(message))
        else:
            rest = _kept_rest(*times, *_common(message))
        if payload is None:
            return b"".join((_type_field(message.type), b"\x1a", _varint(len(id)), id, rest))
        size = _varint(len(payload))
        # The tags of the fields 2 and 3.
        return b"".join(
            (_type_field(message.type), b"\x12", size, payload, b"\x1a", _varint(len(id)), id, rest)
        )
    except (UnicodeError, ValueError) as error:
        raise InvalidTask(f"task {message.id!r} cannot be encoded as a message: {error}") from None


def _varint(number: int) -> bytes:
    """A length, as it precedes a field of protobuf."""
    if number < 128:
        return _SHORT[number]
    return (number & 127 | 128).to_bytes() + _varint(number >> 7)


@functools.lru_cache(maxsize=256)
def _type_field(type: str) -> bytes:
    return bytes(_Task(type=type).SerializeToString())


def _encode_rest(
    last_failed_at: int,
    completed_at: int,
    queue: str,
    max_retry: int,
    retried: int,
    last_error: str,
    timeout: float,
    deadline: float,
    retention: float,
    group: str,
    unique_key: str = "",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The fields after the id. (Fields that are not set, or set to nothing, take no bytes.)"""
    rest = _Task(
        queue=queue,
        retry=min(max_retry, INT32_MAX),
        retried=min(retried, INT32_MAX),
        error_msg=last_error,
        timeout=math.ceil(timeout),
        deadline=math.ceil(deadline),
        unique_key=unique_key,
        last_failed_at=last_failed_at,
        retention=math.ceil(retention),
        completed_at=completed_at,
        group_key=group,
        headers=headers,
    )
    return bytes(rest.SerializeToString())


_kept_rest = functools.lru_cache(maxsize=256)(_encode_rest)


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
    payload = message.payload
    size = 0 if payload is None else 1 + len(_varint(len(payload))) + len(payload)
    return len(_type_field(message.type)) + size


def encode_failure_counters(message: TaskMessage) -> str:
    """`crashes,deferrals`, and `,until` if the task's lock is not freed by Go's rule; empty if all are default.

    Stored beside the message in the field `asynqio:strikes`, which keeps its name because it is part of the layout.
    """
    if message.unique_until is not _FINISHED:
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
