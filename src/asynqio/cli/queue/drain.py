"""Waits until queues are empty: `asynqio queue drain`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asynqio import Inspector
from asynqio.cli.event_loop import run
from asynqio.cli.exit_status import TIMED_OUT
from asynqio.cli.output.format import count
from asynqio.cli.output.json import show
from asynqio.cli.output.terminal import clean, hint, progress

#: Seconds between two checks.
INTERVAL = 0.5


def drain_queues(url: str | None, names: Sequence[str], timeout: float | None, *, as_json: bool) -> int:
    """Wait until no task of the queues is pending or active, at most `timeout` seconds. Returns the exit status."""
    remaining = run(_drain(url, names, timeout))
    data = [{"queue": name, "done": not tasks, "left": tasks} for name, tasks in remaining.items()]
    show(data, lambda: _print(remaining), as_json=as_json)
    return TIMED_OUT if any(remaining.values()) else 0


async def _drain(url: str | None, names: Sequence[str], timeout: float | None) -> dict[str, int]:
    async with Inspector(url) as inspector:
        remaining = await _count(inspector, names)
        total = sum(remaining.values())
        with progress("draining", total) as update:
            try:
                async with asyncio.timeout(timeout):
                    while any(remaining.values()):
                        await asyncio.sleep(INTERVAL)
                        remaining = await _count(inspector, names)
                        update(total - sum(remaining.values()))
            except TimeoutError:
                hint("timed out; tasks are left")
    return remaining


async def _count(inspector: Inspector, names: Sequence[str]) -> dict[str, int]:
    found = [await inspector.queue(name) for name in names]
    return {stats.queue: stats.pending + stats.active for stats in found}


def _print(remaining: dict[str, int]) -> None:
    for name, tasks in remaining.items():
        print(f"queue {clean(name)} has {count(tasks, 'task') if tasks else 'no tasks'} left")
