"""The output of `--json`. The names of its fields are stable."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec

from asynqio import QueueStats, ServerInfo, TaskInfo

_TASK_FIELDS = (
    *("id", "queue", "type", "state", "payload", "headers", "max_retry", "retried", "last_error"),
    *("last_failed_at", "timeout", "deadline", "retention", "completed_at", "group", "unique_key"),
    *("crashes", "deferrals", "next_process_at", "pending_since", "is_orphaned", "result", "progress"),
)
_TASK_TIMES = ("last_failed_at", "deadline", "completed_at", "next_process_at", "pending_since")


def show(value: object, print_text: Callable[[], None], *, as_json: bool) -> None:
    """Print `value` as one line of JSON, or call `print_text`."""
    if as_json:
        print(json.dumps(msgspec.to_builtins(value, enc_hook=_unsupported)))
    else:
        print_text()


def _unsupported(value: object) -> object:
    raise TypeError(f"{value!r} cannot be printed as JSON")


def task_json(info: TaskInfo) -> dict[str, Any]:
    """A task. Times are seconds since the epoch or null; bytes are text, or null with a base64 field beside it."""
    fields: dict[str, Any] = {name: getattr(info, name) for name in _TASK_FIELDS}
    for name in _TASK_TIMES:
        fields[name] = fields[name] or None
    for name in ("payload", "result", "progress"):
        fields |= bytes_json(name, fields[name])
    return fields


def queue_json(stats: QueueStats) -> dict[str, Any]:
    """The statistics of a queue; `size` is the number of its tasks in all states."""
    return {**msgspec.to_builtins(stats), "size": stats.size}


def server_json(info: ServerInfo) -> dict[str, Any]:
    """A worker server with the tasks it runs; payloads are text."""
    workers = [
        {
            **{name: getattr(worker, name) for name in worker.__struct_fields__},
            **bytes_json("payload", worker.payload),
        }
        for worker in info.workers
    ]
    return {**{name: getattr(info, name) for name in info.__struct_fields__}, "workers": workers}


def bytes_json(name: str, data: bytes | None) -> dict[str, Any]:
    """The field `name`: text, or null with the field `NAME_base64` beside it if `data` is not UTF-8."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": base64.b64encode(data).decode()}
