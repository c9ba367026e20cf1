"""What `asynqio task follow` and `queue drain` do: they wait, and say for what."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asynqio import Client, Inspector, LogLine, ProgressChange, StateChange, TaskEvent, TaskInfo, TaskState
from asynqio.cli.output import json as records
from asynqio.cli.output.format import count
from asynqio.cli.output.results import FAILED, TIMED_OUT, report
from asynqio.cli.output.terminal import clean, hint, progress, run, show
from asynqio.cli.task.locate import locate

#: Seconds between two looks at queues that are to be empty.
EVERY = 0.5


# --- a task ---------------------------------------------------------------------------------------


def follow_task(url: str | None, id: str, queue: str | None, timeout: float | None, *, as_json: bool) -> int:
    """Print what happens to it until it is over; the exit status: 1 if it was archived."""

    async def work() -> int:
        async with Inspector(url) as inspector, Client(inspector.broker) as client:
            infos, missing = await locate(inspector, queue, [id])
            if missing:
                return report("id", missing, as_json=as_json)
            info, last = infos[0], infos[0].state
            try:
                async with asyncio.timeout(timeout):
                    async for event in client.follow(info):
                        _print(event, inspector.broker.clock.now(), as_json=as_json)
                        last = _state(event, last)
            except TimeoutError:
                hint(f"task {id!r} is {last}, and was not done in time")
                return TIMED_OUT
            return FAILED if last is TaskState.ARCHIVED else 0

    return int(run(work()))


def _state(event: TaskEvent, last: TaskState) -> TaskState:
    return event.state or TaskState.COMPLETED if isinstance(event, StateChange) else last


def _print(event: TaskEvent, now: float, *, as_json: bool) -> None:
    kind, at, said = _told(event, now)
    if as_json:
        print(json.dumps({"event": kind, "at": at, **said}))
    else:
        time = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
        print(f"{time}  {kind:<8}  {clean(_words(said))}".rstrip())
    sys.stdout.flush()


def _told(event: TaskEvent, now: float) -> tuple[str, float, dict[str, Any]]:
    match event:
        case StateChange(state, info):
            return "state", now, {"state": state.value if state else None, **_error(state, info)}
        case ProgressChange(value):
            return "progress", now, records.text("progress", value)
        case LogLine():
            return "log", event.at, {"text": event.text}


def _error(state: TaskState | None, info: TaskInfo | None) -> dict[str, str]:
    failed = info is not None and state in (TaskState.RETRY, TaskState.ARCHIVED)
    return {"error": info.last_error} if failed and info is not None else {}


def _words(said: dict[str, Any]) -> str:
    if "state" in said:
        state = said["state"] or "done, and not kept"
        return f"{state}: {said['error']}" if said.get("error") else str(state)
    return str(next(iter(said.values())))


# --- queues ---------------------------------------------------------------------------------------


def drain_queues(url: str | None, names: Sequence[str], timeout: float | None, *, as_json: bool) -> int:
    """Wait until nothing in them is pending or running; the exit status."""

    async def left(inspector: Inspector) -> dict[str, int]:
        found = [await inspector.queue(name) for name in names]
        return {stats.queue: stats.pending + stats.active for stats in found}

    async def work() -> dict[str, int]:
        async with Inspector(url) as inspector:
            now = await left(inspector)
            total = sum(now.values())
            with progress("draining", total) as told:
                try:
                    async with asyncio.timeout(timeout):
                        while any(now.values()):
                            await asyncio.sleep(EVERY)
                            now = await left(inspector)
                            told(total - sum(now.values()))
                except TimeoutError:
                    hint("they were not done in time")
        return now

    waiting = run(work())
    data = [{"queue": name, "done": not tasks, "left": tasks} for name, tasks in waiting.items()]
    show(data, lambda: _print_left(waiting), as_json=as_json)
    return TIMED_OUT if any(waiting.values()) else 0


def _print_left(waiting: dict[str, int]) -> None:
    for name, tasks in waiting.items():
        print(f"queue {clean(name)} has {count(tasks, 'task') if tasks else 'no task'} to do")
