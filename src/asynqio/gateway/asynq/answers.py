"""The messages of a gateway in the asynq-server protocol: 10 types, one JSON object each, always as text.

Rust's clients drop a message that they cannot read and then wait for ever. So every key of a message is present, and
numbers are integers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from asynqio.core.task.message import TaskInfo, TaskMessage

_encode = msgspec.json.Encoder().encode
#: The names of headers that HTTP allows.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Characters that a value of a header cannot have.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_I32_MAX = (1 << 31) - 1

#: The answers without data.
SUCCESS = '{"type":"success"}'
PONG = '{"type":"pong"}'
NO_TASK = '{"type":"dequeue_result","data":null}'


class TaskRecord(msgspec.Struct, frozen=True, gc=False):
    """A task that is handed out. `retry` is its largest number of retries; times are whole seconds."""

    id: str
    queue: str
    task_type: str
    payload: bytes
    headers: dict[str, str]
    retry: int
    retried: int
    error_msg: str
    timeout: int
    deadline: int
    group_key: str


class AcceptedTask(msgspec.Struct, frozen=True, gc=False):
    """A task that was enqueued."""

    id: str
    queue: str
    task_type: str
    state: str


class ErrorText(msgspec.Struct, frozen=True, gc=False):
    message: str


class CancelledTask(msgspec.Struct, frozen=True, gc=False):
    task_id: str


class _Message(msgspec.Struct, frozen=True, gc=False):
    type: str
    data: Any


def _text(type: str, data: object) -> str:
    return _encode(_Message(type, data)).decode()


def task_info(info: TaskInfo) -> str:
    """The answer to the requests that enqueue."""
    return _text("task_info", AcceptedTask(info.id, info.queue, info.type, info.state.value))


def dequeue_result(message: TaskMessage) -> str:
    """A task for the consumer that asked for one (`NO_TASK`: there is none)."""
    return _text("dequeue_result", record_of(message))


def error(message: str) -> str:
    """The answer to a request that failed."""
    return _text("error", ErrorText(message))


def cancellation(id: str) -> str:
    """The only message that answers no request: stop this task."""
    return _text("cancellation", CancelledTask(id))


def groups_list(groups: Iterable[str]) -> str:
    return _text("groups_list", list(groups))


def aggregation_set_id(id: str | None) -> str:
    return _text("aggregation_set_id", id)


def aggregation_set(messages: Iterable[TaskMessage]) -> str:
    return _text("aggregation_set", [record_of(message) for message in messages])


def lease_expired_tasks(messages: Iterable[TaskMessage]) -> str:
    return _text("lease_expired_tasks", [record_of(message) for message in messages])


def with_id(text: str, id: str | int) -> str:
    """The answer to a request that has an id."""
    return f'{{"id":{_encode(id).decode()},{text[1:]}'


def record_of(message: TaskMessage) -> TaskRecord:
    """The record of a task. A sub-second timeout becomes one second: 0 would mean none."""
    timeout = message.timeout
    return TaskRecord(
        message.id,
        message.queue,
        message.type,
        message.payload or b"",
        http_headers(message.headers) if message.headers else {},
        min(message.max_retry, _I32_MAX),
        min(message.retried, _I32_MAX),
        message.last_error,
        int(timeout) or (1 if timeout > 0 else 0),
        int(message.deadline),
        message.group,
    )


def http_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that HTTP allows, with names in lower case. Rust rejects a whole message for any other."""
    return {
        name.lower(): value
        for name, value in headers.items()
        if _NAME.fullmatch(name) and not _CONTROL.search(value)
    }
