"""`python -m benchmarks [--broker memory|sqlite|all] [--quick] [--json] [--write docs/benchmarks.md]`."""

from __future__ import annotations

import argparse
import asyncio
import gc
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.cases import beside, drain, drain_processes, enqueue, enqueue_sync, idle, latency
from benchmarks.harness import machine, report, run_cases
from benchmarks.harness.case import FULL, QUICK, Case, Size
from benchmarks.peers import bare_memory, bare_sqlite, huey

BROKERS = ("memory", "sqlite")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the memory and the SQLite broker on this machine."
    )
    parser.add_argument("--broker", choices=[*BROKERS, "all"], default="all")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="smaller sizes and one round: a quick check, not a result to publish",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results into this document")
    return parser.parse_args()


async def cases_of(kind: str) -> list[Case]:
    """All cases of a broker, ordered so that comparable cases of peers follow each case."""
    peers = bare_memory.cases() if kind == "memory" else [*bare_sqlite.cases(), *await huey.cases()]
    ours = [
        *enqueue.cases(kind),
        *enqueue_sync.cases(kind),
        *drain.cases(kind),
        *drain_processes.cases(kind),
        *latency.cases(kind),
        *idle.cases(kind),
        *beside.cases(kind),
    ]
    positions = {case.name: position for position, case in reversed(list(enumerate(ours)))}
    return sorted([*ours, *peers], key=lambda case: positions.get(case.name, len(ours)))


async def measure(brokers: Sequence[str], size: Size, only: str) -> dict[str, run_cases.Results]:
    results = {}
    for kind in brokers:
        cases = [case for case in await cases_of(kind) if only in case.name]
        results[kind] = await run_cases.run(kind, cases, size)
        gc.collect()
    return results


def main() -> None:
    options = arguments()
    brokers = BROKERS if options.broker == "all" else (options.broker,)
    results = asyncio.run(measure(brokers, QUICK if options.quick else FULL, options.only))
    facts = machine.facts()
    text = report.markdown(facts, results)
    if options.json:
        print(msgspec.json.encode({"facts": facts, "results": results}).decode())
    else:
        print(text)
    if options.write:
        report.write_into(options.write, text)


if __name__ == "__main__":
    main()
