"""Drain by two worker processes on one store.

The rate is measured while both are working, from the times that handlers write, as for other systems.
"""

from __future__ import annotations

from functools import partial

from asynqio import open_broker
from benchmarks.cases.drain import fill, until_settled
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.samples import rate, sample_files, wait_for_runs
from benchmarks.harness.stores import temporary_url
from benchmarks.harness.worker_process import worker_processes

PROCESSES = 2


def cases(kind: str) -> list[Case]:
    return [] if kind == "memory" else [Case(OURS, "drain, 2 processes", partial(_two_processes, kind))]


async def _two_processes(kind: str, size: Size) -> Values:
    with temporary_url(kind) as url, sample_files(PROCESSES) as files:
        async with open_broker(url) as store:
            await fill(store, size.drained)
            async with worker_processes(url, files, concurrency=row_names.COMMON_SLOTS):
                await wait_for_runs(files, size.drained)
                await until_settled(store)
        return {row_names.TWO_PROCESSES: rate(files, size.drained)}
