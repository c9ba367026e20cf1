"""What a worker on many queues costs the other clients of its Redis."""

from __future__ import annotations

import asyncio
import shutil
import statistics
from urllib.parse import urlsplit

from benchmarks.cases.idle import SETTLE
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.stores import temporary_url
from benchmarks.harness.worker_process import worker_process

#: Queues of the worker, and SETs per measurement.
QUEUES = 1_000
SETS = 100_000
#: Measurements with and without the worker, in turns.
TURNS = 5
PROGRAM = "redis-benchmark"


def cases(kind: str) -> list[Case]:
    return (
        [Case(OURS, "neighbour", _neighbour, once=True)] if kind == "redis" and shutil.which(PROGRAM) else []
    )


async def _neighbour(size: Size) -> Values:
    with temporary_url("redis") as url:
        queues = {f"q{number}": 1 for number in range(QUEUES)}
        alone, beside = [], []
        for _ in range(TURNS if size.rounds > 1 else 1):
            alone.append(await set_rate(url))
            async with worker_process(url, queues=queues):
                await asyncio.sleep(SETTLE)
                beside.append(await set_rate(url))
        return {
            row_names.NEIGHBOUR: statistics.median(beside),
            row_names.NEIGHBOUR_ALONE: statistics.median(alone),
        }


async def set_rate(url: str) -> float:
    """SETs per second of another application, with 50 connections."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "-p", str(urlsplit(url).port), "-t", "set", "-n", str(SETS), "-r", "100000", "--csv"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    [line] = [line for line in output.decode().splitlines() if line.startswith('"SET"')]
    return float(line.split(",")[1].strip('"'))
