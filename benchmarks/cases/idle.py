"""CPU time, memory and Redis commands of an idle worker. Linux only."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.stores import temporary_url
from benchmarks.harness.worker_process import worker_process
from benchmarks.redis.command_rate import command_rate

#: Seconds after the start until a worker counts as idle.
SETTLE = 1.5


def cases(kind: str) -> list[Case]:
    return [Case(OURS, "idle", partial(_idle, kind), once=True)] if Path("/proc/self/statm").exists() else []


async def _idle(kind: str, size: Size) -> Values:
    values = {}
    with temporary_url(kind) as url:
        async with worker_process(url) as worker:
            await asyncio.sleep(SETTLE)
            parts = {"worker": worker}
            for child in children(worker):
                parts["worker's keeper"] = child  # the only child of a worker without task processes
            before = {name: cpu_seconds(pid) for name, pid in parts.items()}
            if kind == "redis":
                rate = await command_rate(url, size.idle_seconds)
                values[row_names.IDLE_COMMANDS] = rate.heartbeats + rate.others
                values[row_names.IDLE_OTHER_COMMANDS] = rate.others
            else:
                await asyncio.sleep(size.idle_seconds)
            for name, pid in parts.items():
                used = cpu_seconds(pid) - before[name]
                values[f"idle {name}, CPU, %"] = 100 * used / size.idle_seconds
                values[f"idle {name}, memory, MB"] = resident(pid) / 1e6
    return values


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in lists for child in children.read_text().split()]


def cpu_seconds(pid: int) -> float:
    """User and system time in seconds, from the nanoseconds of the scheduler: clock ticks are too coarse here."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(thread.read_text().split()[0])
    return total / 1e9


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
