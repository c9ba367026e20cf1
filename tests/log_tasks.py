"""Handlers that log, importable by task processes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from asynqio import Task

log = logging.getLogger("shop")
FIELDS = ("task_id", "task_type", "queue", "attempt")


class Kept(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._waiting: list[tuple[str, asyncio.Future[logging.LogRecord]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        for event, future in self._waiting:
            if getattr(record, "event", None) == event and not future.done():
                future.set_result(record)

    async def event(self, name: str) -> logging.LogRecord:
        """The first record with this event, which may still come."""
        for record in self.records:
            if getattr(record, "event", None) == name:
                return record
        future: asyncio.Future[logging.LogRecord] = asyncio.get_running_loop().create_future()
        self._waiting.append((name, future))
        return await future


def log_and_return_fields(task: Task) -> dict[str, Any]:
    """What a handler of the root logger sees in a task process."""
    from asynqio.runtime.attempts.log_context import add_to_root_handlers

    kept = Kept()
    logging.getLogger().addHandler(kept)
    add_to_root_handlers()
    log.warning("packed")
    logging.getLogger().removeHandler(kept)
    return {name: getattr(kept.records[0], name) for name in FIELDS}


def log_one_line(task: Task) -> None:
    log.warning("packed by a process", extra={"boxes": 3})
