"""`python -m benchmarks.redis [--quick] [--only TEXT] [--json] [--write docs/benchmarks.md] [--profile]`.

Compares the Redis broker with Go's asynq, eight Python task queues, and a bare loop on the same keys. Cases run in
turns, each on a new Redis server without persistence; results are medians of five rounds. Peers are installed once
under `.cache/bench-peers/`; the report lists a peer that cannot be installed, with the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.cases import (
    drain,
    drain_processes,
    enqueue,
    enqueue_sync,
    groups,
    idle,
    latency,
    memory,
    neighbour,
    profiling,
)
from benchmarks.harness import machine, report, row_names, run_cases
from benchmarks.harness.case import FULL, OURS, QUICK, Case, Size
from benchmarks.peers import asynq_go, bare_redis, bare_redis_sync, python_peers
from benchmarks.peers.process import PeerError
from benchmarks.redis import server
from benchmarks.redis.targets import target_table, targets, wide_table, with_best

#: More rounds for more comparisons, more tasks for calls that take microseconds.
LARGE = msgspec.structs.replace(FULL, rounds=5, one_by_one=10_000, callers=50_000)
#: The section that `--write` replaces.
SECTION = "redis results"
PEERS: dict[str, Callable[[], Awaitable[list[Case]]]] = {
    asynq_go.SYSTEM: asynq_go.cases,
    **{peer.name: partial(python_peers.cases, peer) for peer in python_peers.PEERS},
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redis", description="Compare the Redis broker with other systems."
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="smaller sizes and one round: a quick check, not a result to publish",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds")
    parser.add_argument("--tasks", type=int, metavar="N", help="tasks per drain of a fast system")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument(
        "--system", default="", metavar="NAME", help="only this system, such as asynqio or Celery"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results into this document")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="only profile the drain of asynqio by function",
    )
    return parser.parse_args()


async def all_cases(only: str, system: str, problems: list[str]) -> list[Case]:
    """The selected cases, grouped by name, those of asynqio first. Adds unavailable peers to `problems`.

    Exits with the list of all cases if none matches.
    """
    ours = [
        case
        for module in (
            enqueue,
            enqueue_sync,
            drain,
            drain_processes,
            latency,
            idle,
            memory,
            neighbour,
            groups,
        )
        for case in module.cases("redis")
    ]
    found = [*ours, *bare_redis.cases(), *bare_redis_sync.cases()]
    for name, cases in PEERS.items():
        if system in ("", name) or (
            system == OURS and name == asynq_go.SYSTEM
        ):  # the Go client also sends tasks to asynqio
            try:
                found += await cases()
            except PeerError as problem:
                problems.append(f"without {name}: {problem}")
    positions = {case.name: position for position, case in reversed(list(enumerate(ours)))}
    positions[row_names.case_of(row_names.drain(1))] = (
        positions[row_names.case_of(row_names.drain(row_names.SLOTS[0]))] - 1
    )
    positions["pick-up, Go client"] = positions["pick-up, Python client"]
    found.sort(key=lambda case: positions[case.name])
    chosen = [case for case in found if only in case.name and system in ("", case.system)]
    if not chosen:
        sys.exit("no case matches; all cases:\n" + "\n".join(dict.fromkeys(case.name for case in found)))
    return chosen


async def measure(size: Size, only: str, system: str, problems: list[str]) -> run_cases.Results:
    cases = await all_cases(only, system, problems)
    return with_best(await run_cases.run("redis", cases, size, problems))


def facts() -> dict[str, str]:
    found = machine.facts()
    del found["SQLite"]
    return {
        **found,
        **server.facts(),
        asynq_go.SYSTEM: asynq_go.version(),
        **{peer.name: peer.version for peer in python_peers.PEERS},
    }


def main() -> None:
    options = arguments()
    size = QUICK if options.quick else LARGE
    given = {"rounds": options.rounds, "drained": options.tasks}
    size = msgspec.structs.replace(size, **{name: value for name, value in given.items() if value})
    try:
        server.program()
        if options.write:
            report.around(options.write, SECTION)
    except (server.NoServer, OSError, ValueError) as problem:
        sys.exit(str(problem))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # to stop the servers that were started
    if options.profile:
        print(asyncio.run(profiling.of_drain("redis", size)))
        return
    before = facts()
    problems: list[str] = []
    results = asyncio.run(measure(size, options.only, options.system, problems))
    goals = targets(results, size)
    text = "\n\n".join(
        [
            report.headline(before),
            wide_table(results),
            "### Targets",
            target_table(goals),
            *(["Not measured:", "\n".join(f"* {problem}" for problem in problems)] if problems else []),
        ]
    )
    if options.json:
        output = {"facts": before, "results": results, "targets": goals, "problems": problems}
        print(msgspec.json.encode(output).decode())
    else:
        print(text)
    if options.write:
        report.write_into(options.write, text, SECTION)
    if any(f"({OURS})" in problem for problem in problems):
        sys.exit(1)


if __name__ == "__main__":
    main()
