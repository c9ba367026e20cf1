"""Go's asynq, from the module proxy, built once under `.cache/bench-peers/`.

v0.26.0 has no bulk enqueue call: in that row, 200 goroutines enqueue on one client with one connection each.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from asynqio import open_broker
from benchmarks.cases.drain import FEW_BEHIND, LARGE, ROUND_TRIP, large_payload, start_long_running
from benchmarks.cases.enqueue import noop_task
from benchmarks.cases.latency import WARM_UP, percentiles
from benchmarks.cases.memory import bytes_per_task
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, Case, Size, Values
from benchmarks.harness.samples import sample_file
from benchmarks.harness.stores import delayed, temporary_url
from benchmarks.harness.worker_process import worker_process
from benchmarks.peers import bare_redis, peer_cases, process
from benchmarks.peers.install import CACHE

SYSTEM = "Go asynq"
SOURCE = Path(__file__).with_name("go")
#: Goroutines that replace a bulk call.
BULK_CALLERS = 200
#: Number of tasks for Go relative to asynqio, about in proportion to its speed.
SHARE = 0.4


def version() -> str:
    found = re.search(r"asynq (v\S+)", (SOURCE / "go.mod").read_text())
    assert found is not None
    return found[1]


async def program() -> str:
    """Build the program if necessary; return its path. Raises PeerError."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise process.PeerError("Go is not installed (https://go.dev/dl)")
    built = CACHE / f"asynq-{version()}" / "bench"
    sources = [SOURCE / name for name in ("main.go", "go.mod", "go.sum")]
    if not built.exists() or built.stat().st_mtime < max(file.stat().st_mtime for file in sources):
        print(f"building the Go program with asynq {version()} under {built.parent}", file=sys.stderr)
        await process.call(go, "build", "-C", str(SOURCE), "-o", str(built), ".")
    return str(built)


async def cases() -> list[Case]:
    """The cases of Go asynq. Raises PeerError if its program cannot be built."""
    system = peer_cases.System(
        SYSTEM,
        (await program(),),
        "Go",
        count=lambda size: int(SHARE * size.drained),
        fillers=BULK_CALLERS,
        late=True,
    )

    def case(
        name: str, run: Callable[[peer_cases.System, Size], Awaitable[Values]], once: bool = False
    ) -> Case:
        return Case(SYSTEM, name, partial(run, system), once)

    return [
        case("enqueue", partial(_put, row_names.ENQUEUE, 1)),
        case("enqueue, many callers", partial(_put, row_names.ENQUEUE_CALLERS, row_names.CALLERS)),
        case("enqueue_many", partial(_put, row_names.ENQUEUE_MANY, BULK_CALLERS)),
        *peer_cases.drains(system),
        case("drain, results", partial(_special, row_names.RESULTS, "result", {"retention": 60})),
        *[case(f"drain, {size} KB", partial(_large, size)) for size in LARGE],
        case(f"drain, {FEW_BEHIND:,} behind", partial(_behind, False)),
        case("drain, most behind", partial(_behind, True)),
        case("drain, beside long-running", _beside_long),
        case("drain, failing", partial(_special, row_names.FAILING, "fail", {})),
        case("drain, retried", _retried, once=True),
        case("drain, 2 ms away", _far),
        *peer_cases.waits(system),
        Case(OURS, "pick-up, Go client", partial(_ours_from_go, system)),
        case("memory per task", _memory, once=True),
    ]


async def put(
    system: peer_cases.System, url: str, count: int, callers: int = BULK_CALLERS, **arguments: object
) -> float:
    """Enqueue tasks; return tasks per second."""
    payload = (noop_task().payload or b"").decode()
    arguments = {"payload": payload, **arguments}
    return float(await process.run(system.command, "put", url=url, count=count, callers=callers, **arguments))


async def _put(row: str, callers: int, system: peer_cases.System, size: Size) -> Values:
    count = size.one_by_one if callers == 1 else size.callers
    with temporary_url("redis") as url:
        return {row: await put(system, url, count, callers)}


async def _special(
    row: str, handler: str, options: dict[str, Any], system: peer_cases.System, size: Size
) -> Values:
    count = system.count(size)
    with temporary_url("redis") as url:
        await put(system, url, count, **options)
        return {
            row: await peer_cases.drained(
                system.command, url, count, row_names.COMMON_SLOTS, handler=handler
            ),
        }


async def _retried(system: peer_cases.System, size: Size) -> Values:
    runs = 2 * system.count(size)  # each task fails once
    with temporary_url("redis") as url:
        await put(system, url, runs // 2)
        rate = await peer_cases.drained(
            system.command, url, runs, row_names.COMMON_SLOTS, handler="fail once"
        )
    return {row_names.RETRIED: rate / 2}


async def _large(kilobytes: int, system: peer_cases.System, size: Size) -> Values:
    payload = large_payload(1_000 * kilobytes).decode()
    return await _special(row_names.large(kilobytes), "mark", {"payload": payload}, system, size)


async def _behind(most: bool, system: peer_cases.System, size: Size) -> Values:
    count, behind = system.count(size), size.behind if most else FEW_BEHIND
    with temporary_url("redis") as url:
        await bare_redis.fill(url, count + behind)  # the same bytes in a tenth of the time
        rate = await peer_cases.drained(system.command, url, count, row_names.COMMON_SLOTS)
    return {row_names.behind(behind): rate}


async def _beside_long(system: peer_cases.System, size: Size) -> Values:
    count = system.count(size)
    with temporary_url("redis") as url:
        async with open_broker(url) as store:
            await start_long_running(store)
        await put(system, url, count)
        rate = await peer_cases.drained(system.command, url, count, row_names.COMMON_SLOTS)
    return {row_names.BESIDE_LONG: rate}


async def _far(system: peer_cases.System, size: Size) -> Values:
    slots = max(row_names.SLOTS)
    with temporary_url("redis") as url:
        await put(system, url, size.slow)
        with delayed(url, ROUND_TRIP) as far:
            return {row_names.FAR: await peer_cases.drained(system.command, far, size.slow, slots)}


async def _ours_from_go(system: peer_cases.System, size: Size) -> Values:
    count = size.samples + WARM_UP
    with temporary_url("redis") as url, sample_file() as samples:
        async with worker_process(url, samples=samples.path):
            await peer_cases.send(system.command, url, count, str(samples.path))
            await samples.wait_for(count)
        return percentiles(row_names.pick_up("Go"), samples.values()[WARM_UP:])


async def _memory(system: peer_cases.System, size: Size) -> Values:
    return await bytes_per_task(
        lambda url, count: put(system, url, count, 1 if count == 1 else BULK_CALLERS), size
    )
