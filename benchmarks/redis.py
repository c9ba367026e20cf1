"""`python -m benchmarks.redis [--quick] [--only TEXT] [--json] [--write docs/benchmarks.md] [--profile]`.

The Redis broker beside Go's asynq, beside seven Python task queues, and beside the least that can be done on
the same keys, all in one run, in turns; each case on a Redis server of its own, which is started for it
without persistence. Medians of five rounds. Peers are installed once under `.cache/bench-peers/`; one that
cannot be is named with the reason.
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

from benchmarks import (
    crowd,
    drain,
    enqueue,
    idle,
    latency,
    machine,
    memory,
    profiling,
    redis_server,
    report,
    rounds,
    rows,
)
from benchmarks.case import FULL, OURS, QUICK, Case, Size
from benchmarks.peers import asynq_go, bare_redis, redis_others
from benchmarks.peers.process import Broken
from benchmarks.standings import target_table, targets, wide_table, with_best

#: More rounds where more is compared, more tasks where a call takes microseconds.
LARGE = msgspec.structs.replace(FULL, rounds=5, one_by_one=10_000, callers=50_000)
#: Where `--write` puts the figures.
PLACE = "redis figures"
PEERS: dict[str, Callable[[], Awaitable[list[Case]]]] = {
    asynq_go.SYSTEM: asynq_go.cases,
    **{other.name: partial(redis_others.cases, other) for other in redis_others.OTHERS},
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redis", description="How fast the Redis broker is, beside others."
    )
    parser.add_argument("--quick", action="store_true", help="smaller and once: for a look, not for a claim")
    parser.add_argument("--rounds", type=int, metavar="N", help="so many rounds")
    parser.add_argument(
        "--tasks", type=int, metavar="N", help="so many tasks for each drain of a fast system"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases with this in their name")
    parser.add_argument("--system", default="", metavar="NAME", help="only this system: asynqio, Celery, …")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures into this document")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="only say where the time of our drain goes, function by function",
    )
    return parser.parse_args()


async def all_cases(only: str, system: str, problems: list[str]) -> list[Case]:
    """Cases of the same name next to each other, ours first. Peers that cannot be had go to `problems`.

    Exits when there is no such case, with the names of those that there are.
    """
    ours = [
        case for module in (enqueue, drain, crowd, latency, idle, memory) for case in module.cases("redis")
    ]
    found = [*ours, *bare_redis.cases()]
    for name, cases in PEERS.items():
        if system in ("", name) or (
            system == OURS and name == asynq_go.SYSTEM
        ):  # a Go client sends to us too
            try:
                found += await cases()
            except Broken as problem:
                problems.append(f"without {name}: {problem}")
    places = {case.name: place for place, case in reversed(list(enumerate(ours)))}
    places[rows.case_of(rows.drain(1))] = places[rows.case_of(rows.drain(rows.SLOTS[0]))] - 1
    places["pick-up, Go client"] = places["pick-up, Python client"]
    found.sort(key=lambda case: places[case.name])
    chosen = [case for case in found if only in case.name and system in ("", case.system)]
    if not chosen:
        sys.exit("no such case; there are:\n" + "\n".join(dict.fromkeys(case.name for case in found)))
    return chosen


async def measure(size: Size, only: str, system: str, problems: list[str]) -> rounds.Results:
    cases = await all_cases(only, system, problems)
    return with_best(await rounds.run("redis", cases, size, problems))


def facts() -> dict[str, str]:
    found = machine.facts()
    del found["SQLite"]
    return {
        **found,
        **redis_server.facts(),
        asynq_go.SYSTEM: asynq_go.version(),
        **{other.name: other.version for other in redis_others.OTHERS},
    }


def main() -> None:
    options = arguments()
    size = QUICK if options.quick else LARGE
    given = {"rounds": options.rounds, "drained": options.tasks}
    size = msgspec.structs.replace(size, **{name: value for name, value in given.items() if value})
    try:
        redis_server.program()
        if options.write:
            report.place_for(options.write, PLACE)
    except (redis_server.NoServer, OSError, ValueError) as problem:
        sys.exit(str(problem))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and so end the servers that were started
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
        said = {"facts": before, "results": results, "targets": goals, "problems": problems}
        print(msgspec.json.encode(said).decode())
    else:
        print(text)
    if options.write:
        report.write_into(options.write, text, PLACE)
    if any(f"({OURS})" in problem for problem in problems):
        sys.exit(1)


if __name__ == "__main__":
    main()
