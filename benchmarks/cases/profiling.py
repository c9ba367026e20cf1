"""Profiles the drain of asynqio by function."""

from __future__ import annotations

import cProfile
import io
import pstats

from asynqio import open_broker
from benchmarks.cases.drain import drained, fill
from benchmarks.harness.case import Size
from benchmarks.harness.row_names import COMMON_SLOTS
from benchmarks.harness.stores import temporary_url

#: Functions shown.
SHOWN = 25


async def of_drain(kind: str, size: Size) -> str:
    """The functions with the most own time, and the rate under the profiler, which slows it down."""
    profile = cProfile.Profile()
    with temporary_url(kind) as url:
        async with open_broker(url) as store:
            await fill(store, size.drained)
            profile.enable()
            rate = await drained(store, size.drained, COMMON_SLOTS, lambda countdown: countdown.on_loop)
            profile.disable()
    out = io.StringIO()
    pstats.Stats(profile, stream=out).strip_dirs().sort_stats("tottime").print_stats(SHOWN)
    return f"{size.drained:,} tasks, {COMMON_SLOTS} slots, {rate:,.0f} tasks/s under the profiler\n{out.getvalue()}"
