"""Tasks out, by two worker processes on one store."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from asynqio import Client, TaskNotFound, open_broker
from benchmarks import rows
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.drain import fill, until_settled
from benchmarks.place import fresh_url
from benchmarks.program import gathered


def cases(kind: str) -> list[Case]:
    return [] if kind == "memory" else [Case(OURS, "drain, 2 processes", partial(_two_processes, kind))]


async def _two_processes(kind: str, size: Size) -> Figures:
    with fresh_url(kind) as url:
        async with open_broker(url) as store:
            last = await fill(store, size.drained)
            async with gathered(url, 2, concurrency=rows.COMMON_SLOTS) as starts:
                # Looking at one task costs nothing, counting all of them would.
                await _until_gone(Client(store), last)
                await until_settled(store)
                ended = time.time()
    return {rows.TWO_PROCESSES: size.drained / (ended - min(starts))}


async def _until_gone(client: Client, id: str) -> None:
    while True:
        try:
            await client.find(id)
        except TaskNotFound:
            return
        await asyncio.sleep(0.005)
