"""What a worker costs that has nothing to do. Processor and memory on Linux only: elsewhere there are none."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from benchmarks import rows
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.place import fresh_url
from benchmarks.program import started
from benchmarks.traffic import traffic

#: Seconds after the start before it counts as idle.
SETTLE = 1.5


def cases(kind: str) -> list[Case]:
    return [Case(OURS, "idle", partial(_idle, kind), once=True)] if Path("/proc/self/statm").exists() else []


async def _idle(kind: str, size: Size) -> Figures:
    figures = {}
    with fresh_url(kind) as url:
        async with started(url) as worker:
            await asyncio.sleep(SETTLE)
            parts = {"worker": worker}
            for child in children(worker):
                parts["worker's keeper"] = child  # the only child a worker without task processes has
            before = {name: cpu_seconds(pid) for name, pid in parts.items()}
            if kind == "redis":
                seen = await traffic(url, size.idle_seconds)
                figures[rows.IDLE_COMMANDS] = seen.heartbeats + seen.others
                figures[rows.IDLE_OTHER_COMMANDS] = seen.others
            else:
                await asyncio.sleep(size.idle_seconds)
            for name, pid in parts.items():
                used = cpu_seconds(pid) - before[name]
                figures[f"idle {name}, CPU, %"] = 100 * used / size.idle_seconds
                figures[f"idle {name}, memory, MB"] = resident(pid) / 1e6
    return figures


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in lists for child in children.read_text().split()]


def cpu_seconds(pid: int) -> float:
    """User and system time, from the scheduler's nanoseconds: clock ticks are too coarse for what is idle."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(thread.read_text().split()[0])
    return total / 1e9


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
