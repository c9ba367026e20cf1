"""Tasks out, by two worker processes on one store.

Counted is what they do while both work, by the times that their handlers write down: the same for everybody.
"""

from __future__ import annotations

from functools import partial

from asynqio import open_broker
from benchmarks import rows
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.drain import fill, until_settled
from benchmarks.journal import fresh_journals, rate, until
from benchmarks.place import fresh_url
from benchmarks.program import gathered

PROCESSES = 2


def cases(kind: str) -> list[Case]:
    return [] if kind == "memory" else [Case(OURS, "drain, 2 processes", partial(_two_processes, kind))]


async def _two_processes(kind: str, size: Size) -> Figures:
    with fresh_url(kind) as url, fresh_journals(PROCESSES) as journals:
        async with open_broker(url) as store:
            await fill(store, size.drained)
            async with gathered(url, journals, concurrency=rows.COMMON_SLOTS):
                await until(journals, size.drained)
                await until_settled(store)
        return {rows.TWO_PROCESSES: rate(journals, size.drained)}
