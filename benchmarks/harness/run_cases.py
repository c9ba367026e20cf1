"""Runs cases in turns, so that background load affects all of them alike, and computes medians."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from benchmarks.harness.case import Case, Size

#: Timeout of a case in seconds.
TIMEOUT = 600.0
#: Row → system → median.
Results: TypeAlias = dict[str, dict[str, float]]


async def run(title: str, cases: Sequence[Case], size: Size, problems: list[str] | None = None) -> Results:
    """Run all cases. A failed case is added to `problems`, if given, and not repeated; otherwise it raises."""
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    total = sum(1 if case.once else size.rounds for case in cases)
    done, began = 0, time.monotonic()
    failed: set[int] = set()
    for turn in range(size.rounds):
        for number, case in enumerate(cases):
            if number in failed or (case.once and turn):
                continue
            done += 1
            _show(f"{title}: {done}/{total}, {time.monotonic() - began:.0f} s: {case.name} ({case.system})")
            try:
                async with asyncio.timeout(TIMEOUT):
                    values = await case.run(size)
            except Exception as problem:
                if problems is None:
                    raise
                failed.add(number)
                total -= 0 if case.once else size.rounds - turn - 1
                problems.append(f"{case.name} ({case.system}): {type(problem).__name__}: {problem}")
                continue
            for row, value in values.items():
                found[row][case.system].append(value)
            await asyncio.sleep(0)
    _show("")
    return {
        row: {system: statistics.median(values) for system, values in systems.items()}
        for row, systems in found.items()
    }


def _show(text: str) -> None:
    """Show progress: a single line that is overwritten on a terminal, separate lines elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
    elif text:
        print(text, file=sys.stderr)
