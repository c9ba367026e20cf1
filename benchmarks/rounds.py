"""Running cases in turns, so that a noisy minute hurts all of them alike; of every figure the median is kept."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from benchmarks.case import Case, Size

#: Row → system → median.
Results: TypeAlias = dict[str, dict[str, float]]


async def run(title: str, cases: Sequence[Case], size: Size) -> Results:
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    total = sum(1 if case.once else size.rounds for case in cases)
    done, began = 0, time.monotonic()
    for turn in range(size.rounds):
        for case in cases:
            if case.once and turn:
                continue
            done += 1
            _show(f"{title}: {done}/{total}, {time.monotonic() - began:.0f} s: {case.name} ({case.system})")
            for row, value in (await case.run(size)).items():
                found[row][case.system].append(value)
            await asyncio.sleep(0)
    _show("")
    return {
        row: {system: statistics.median(values) for system, values in systems.items()}
        for row, systems in found.items()
    }


def _show(text: str) -> None:
    """One line that is written over on a terminal, a line each elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
    elif text:
        print(text, file=sys.stderr)
