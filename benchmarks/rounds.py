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

#: Seconds that a case may take; then something hangs.
TIMEOUT = 600.0
#: Row → system → median.
Results: TypeAlias = dict[str, dict[str, float]]


async def run(title: str, cases: Sequence[Case], size: Size, problems: list[str] | None = None) -> Results:
    """With a list for `problems`, a case that fails is noted there and not repeated, and the rest goes on."""
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    total = sum(1 if case.once else size.rounds for case in cases)
    done, began = 0, time.monotonic()
    given_up: set[int] = set()
    for turn in range(size.rounds):
        for number, case in enumerate(cases):
            if number in given_up or (case.once and turn):
                continue
            done += 1
            _show(f"{title}: {done}/{total}, {time.monotonic() - began:.0f} s: {case.name} ({case.system})")
            try:
                async with asyncio.timeout(TIMEOUT):
                    figures = await case.run(size)
            except Exception as problem:
                if problems is None:
                    raise
                given_up.add(number)
                total -= 0 if case.once else size.rounds - turn - 1
                problems.append(f"{case.name} ({case.system}): {type(problem).__name__}: {problem}")
                continue
            for row, value in figures.items():
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
