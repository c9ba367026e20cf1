"""What `--json` says of tasks, queues and servers. The names of the fields are stable."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from asynqio import QueueStats, ServerInfo, TaskInfo

_TIMES = ("last_failed_at", "deadline", "completed_at", "next_process_at", "pending_since")


def task(info: TaskInfo) -> dict[str, Any]:
    """Every field. Times are seconds since the epoch, or null; bytes are text, or stand in base64 beside a null."""
    record: dict[str, Any] = {
        name: getattr(info, name)
        for name in (
            *("id", "queue", "type", "state", "payload", "headers", "max_retry", "retried", "last_error"),
            *("last_failed_at", "timeout", "deadline", "retention", "completed_at", "group", "unique_key"),
            *(
                "crashes",
                "deferrals",
                "next_process_at",
                "pending_since",
                "is_orphaned",
                "result",
                "progress",
            ),
        )
    }
    for name in _TIMES:
        record[name] = record[name] or None
    for name in ("payload", "result", "progress"):
        record |= text(name, record[name])
    return record


def queue(stats: QueueStats) -> dict[str, Any]:
    """Every figure, and the sum of all states."""
    return {**msgspec.to_builtins(stats), "size": stats.size}


def server(card: ServerInfo) -> dict[str, Any]:
    """The whole card; of the tasks that it runs, payloads as text."""
    workers = [
        {
            **{name: getattr(worker, name) for name in worker.__struct_fields__},
            **text("payload", worker.payload),
        }
        for worker in card.workers
    ]
    plain = {name: getattr(card, name) for name in card.__struct_fields__}
    return {**plain, "workers": workers}


def text(name: str, data: bytes | None) -> dict[str, Any]:
    """Bytes under a name: as text, or in base64 beside a null."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": base64.b64encode(data).decode()}
