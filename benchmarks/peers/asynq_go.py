"""asynq in Go, from the module proxy, built once under `.cache/bench-peers/`.

v0.26.0 has no call that enqueues many at once (that came later): in that row 200 goroutines enqueue on one
client that has a connection for each.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.case import OURS, Case, Figures, Size
from benchmarks.drain import FEW_BEHIND, LARGE, ROUND_TRIP, large_payload
from benchmarks.enqueue import noop_task
from benchmarks.journal import fresh_journal
from benchmarks.latency import WARM_UP, figures
from benchmarks.memory import bytes_per_task
from benchmarks.peers import bare_redis, foreign, process
from benchmarks.peers.home import CACHE
from benchmarks.place import delayed, fresh_url
from benchmarks.program import started

SYSTEM = "Go asynq"
SOURCE = Path(__file__).with_name("go")
#: Goroutines that stand in for a bulk call.
CROWD = 200
#: Tasks that Go drains and puts in for every one of ours: about as many as it is slower.
SHARE = 0.4


def version() -> str:
    found = re.search(r"asynq (v\S+)", (SOURCE / "go.mod").read_text())
    assert found is not None
    return found[1]


async def program() -> str:
    """The built program. Raises Broken when it cannot be had."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise process.Broken("there is no Go on this machine (https://go.dev/dl)")
    built = CACHE / f"asynq-{version()}" / "bench"
    sources = [SOURCE / name for name in ("main.go", "go.mod", "go.sum")]
    if not built.exists() or built.stat().st_mtime < max(file.stat().st_mtime for file in sources):
        print(f"building the Go program with asynq {version()} under {built.parent}", file=sys.stderr)
        await process.call(go, "build", "-C", str(SOURCE), "-o", str(built), ".")
    return str(built)


async def cases() -> list[Case]:
    """Raises Broken with the reason when there is no such peer here."""
    system = foreign.System(
        SYSTEM,
        (await program(),),
        "Go",
        count=lambda size: int(SHARE * size.drained),
        fillers=CROWD,
        late=True,
    )

    def case(
        name: str, run: Callable[[foreign.System, Size], Awaitable[Figures]], once: bool = False
    ) -> Case:
        return Case(SYSTEM, name, partial(run, system), once)

    return [
        case("enqueue", partial(_put, rows.ENQUEUE, 1)),
        case("enqueue, many callers", partial(_put, rows.ENQUEUE_CALLERS, rows.CALLERS)),
        case("enqueue_many", partial(_put, rows.ENQUEUE_MANY, CROWD)),
        *foreign.drains(system),
        case("drain, results", partial(_special, rows.RESULTS, "result", {"retention": 60})),
        *[case(f"drain, {size} KB", partial(_large, size)) for size in LARGE],
        case(f"drain, {FEW_BEHIND:,} behind", partial(_behind, False)),
        case("drain, most behind", partial(_behind, True)),
        case("drain, failing", partial(_special, rows.FAILING, "fail", {})),
        case("drain, retried", _retried, once=True),
        case("drain, 2 ms away", _far),
        *foreign.waits(system),
        Case(OURS, "pick-up, Go client", partial(_ours_from_go, system)),
        case("memory per task", _memory, once=True),
    ]


async def put(
    system: foreign.System, url: str, count: int, callers: int = CROWD, **arguments: object
) -> float:
    """Put tasks in: how many per second."""
    payload = (noop_task().payload or b"").decode()
    arguments = {"payload": payload, **arguments}
    return float(await process.run(system.command, "put", url=url, count=count, callers=callers, **arguments))


async def _put(row: str, callers: int, system: foreign.System, size: Size) -> Figures:
    count = size.one_by_one if callers == 1 else size.callers
    with fresh_url("redis") as url:
        return {row: await put(system, url, count, callers)}


async def _special(
    row: str, handler: str, options: dict[str, Any], system: foreign.System, size: Size
) -> Figures:
    count = system.count(size)
    with fresh_url("redis") as url:
        await put(system, url, count, **options)
        return {
            row: await foreign.drained(system.command, url, count, rows.COMMON_SLOTS, handler=handler),
        }


async def _retried(system: foreign.System, size: Size) -> Figures:
    runs = 2 * system.count(size)  # each task fails, and then does not
    with fresh_url("redis") as url:
        await put(system, url, runs // 2)
        rate = await foreign.drained(system.command, url, runs, rows.COMMON_SLOTS, handler="fail once")
    return {rows.RETRIED: rate / 2}


async def _large(kilobytes: int, system: foreign.System, size: Size) -> Figures:
    payload = large_payload(1_000 * kilobytes).decode()
    return await _special(rows.large(kilobytes), "mark", {"payload": payload}, system, size)


async def _behind(most: bool, system: foreign.System, size: Size) -> Figures:
    count, behind = system.count(size), size.behind if most else FEW_BEHIND
    with fresh_url("redis") as url:
        await bare_redis.fill(url, count + behind)  # the same bytes in a tenth of the time
        rate = await foreign.drained(system.command, url, count, rows.COMMON_SLOTS)
    return {rows.behind(behind): rate}


async def _far(system: foreign.System, size: Size) -> Figures:
    slots = max(rows.SLOTS)
    with fresh_url("redis") as url:
        await put(system, url, size.slow)
        with delayed(url, ROUND_TRIP) as far:
            return {rows.FAR: await foreign.drained(system.command, far, size.slow, slots)}


async def _ours_from_go(system: foreign.System, size: Size) -> Figures:
    count = size.samples + WARM_UP
    with fresh_url("redis") as url, fresh_journal() as journal:
        async with started(url, journal=journal.path):
            await foreign.sent(system.command, url, count, str(journal.path))
            await journal.until(count)
        return figures(rows.pick_up("Go"), journal.values()[WARM_UP:])


async def _memory(system: foreign.System, size: Size) -> Figures:
    return await bytes_per_task(lambda url, count: put(system, url, count, 1 if count == 1 else CROWD), size)
