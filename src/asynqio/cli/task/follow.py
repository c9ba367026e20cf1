"""Prints what happens to a task: `asynqio task follow`."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

from asynqio import Client, Inspector, LogLine, ProgressChange, StateChange, TaskEvent, TaskInfo, TaskState
from asynqio.cli.event_loop import run
from asynqio.cli.exit_status import FAILED, TIMED_OUT
from asynqio.cli.output.json import bytes_json
from asynqio.cli.output.outcomes import report_failures
from asynqio.cli.output.terminal import clean, hint
from asynqio.cli.task.locate import locate


def follow_task(url: str | None, id: str, queue: str | None, timeout: float | None, *, as_json: bool) -> int:
    """Print the events of a task until it ends, at most `timeout` seconds. Returns the exit status: FAILED if the
    task was archived."""

    async def work() -> int:
        async with Inspector(url) as inspector, Client(inspector.broker) as client:
            infos, missing = await locate(inspector, queue, [id])
            if missing:
                return report_failures(missing)
            info, state = infos[0], infos[0].state
            try:
                async with asyncio.timeout(timeout):
                    async for event in client.follow(info):
                        _print(event, inspector.broker.clock.now(), as_json=as_json)
                        state = _state_after(event, state)
            except TimeoutError:
                hint(f"timed out; task {id!r} is {state}")
                return TIMED_OUT
            return FAILED if state is TaskState.ARCHIVED else 0

    return run(work())


def _state_after(event: TaskEvent, state: TaskState) -> TaskState:
    return event.state or TaskState.COMPLETED if isinstance(event, StateChange) else state


def _print(event: TaskEvent, now: float, *, as_json: bool) -> None:
    kind, at, fields = _fields(event, now)
    if as_json:
        print(json.dumps({"event": kind, "at": at, **fields}))
    else:
        time = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        print(f"{time}  {kind:<8}  {clean(_text(fields))}".rstrip())
    sys.stdout.flush()


def _fields(event: TaskEvent, now: float) -> tuple[str, float, dict[str, Any]]:
    """The kind, the time and the JSON fields of an event."""
    match event:
        case StateChange(state, info):
            return "state", now, {"state": state.value if state else None, **_error(state, info)}
        case ProgressChange(value):
            return "progress", now, bytes_json("progress", value)
        case LogLine():
            return "log", event.at, {"text": event.text}


def _error(state: TaskState | None, info: TaskInfo | None) -> dict[str, str]:
    failed = info is not None and state in (TaskState.RETRY, TaskState.ARCHIVED)
    return {"error": info.last_error} if failed and info is not None else {}


def _text(fields: dict[str, Any]) -> str:
    if "state" in fields:
        state = fields["state"] or "completed and deleted"
        return f"{state}: {fields['error']}" if fields.get("error") else str(state)
    return str(next(iter(fields.values())))
