"""Tasks out, by two worker processes on one SQLite file."""

from __future__ import annotations

import asyncio
import time

from asynqio import Client, Inspector, TaskNotFound, open_broker
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.drain import fill, until_empty
from benchmarks.place import fresh_url
from benchmarks.program import started

SLOTS = 50


def cases(kind: str) -> list[Case]:
    return [Case(OURS, "drain, 2 processes", _two_processes)] if kind == "sqlite" else []


async def _two_processes(size: Size) -> Figures:
    with fresh_url("sqlite") as url:
        async with open_broker(url) as store:
            last = await fill(store, size.drained)
            async with started(url, concurrency=SLOTS), started(url, concurrency=SLOTS):
                began = time.perf_counter()
                await Inspector(store).resume("default")
                # Looking at one task costs nothing, counting all of them would.
                await _until_gone(Client(store), last)
                await until_empty(store)
                taken = time.perf_counter() - began
    return {f"drain, 2 processes, {SLOTS} slots each, tasks/s": size.drained / taken}


async def _until_gone(client: Client, id: str) -> None:
    while True:
        try:
            await client.find(id)
        except TaskNotFound:
            return
        await asyncio.sleep(0.005)
