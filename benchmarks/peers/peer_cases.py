"""The cases of a peer with a program; programs/common.py describes the commands of a program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from benchmarks.cases.enqueue import noop_task
from benchmarks.cases.enqueue_sync import MANY_THREADS, ONE_THREAD
from benchmarks.cases.idle import SETTLE, children, cpu_seconds, resident
from benchmarks.cases.latency import LONGEST, SHORTEST, WARM_UP, percentiles
from benchmarks.harness import row_names
from benchmarks.harness.case import Case, Size, Values
from benchmarks.harness.samples import rate, sample_file, sample_files, wait_for_runs
from benchmarks.harness.stores import temporary_url
from benchmarks.peers import process
from benchmarks.redis.command_rate import command_rate

#: Seconds until a worker waits for the first task of the latency measurement.
WARM_UP_SECONDS = 1.0


class System(msgspec.Struct, frozen=True):
    """A peer and how to run its program."""

    name: str
    command: tuple[str, ...]
    #: The language of its client: "Python" or "Go".
    language: str
    #: Number of tasks to enqueue and to drain.
    count: Callable[[Size], int]
    slots: tuple[int, ...] = row_names.SLOTS
    #: Slots of each of two processes.
    two: int = row_names.COMMON_SLOTS
    #: Whether it has a bulk enqueue call.
    bulk: bool = False
    #: Concurrent callers that fill its queue.
    fillers: int = row_names.CALLERS
    #: Whether it polls for tasks.
    late: bool = False
    #: Whether its client blocks.
    blocking: bool = False


def cases(system: System) -> list[Case]:
    blocking = blocking_puts(system) if system.blocking else []
    return [*puts(system), *blocking, *drains(system), *waits(system)]


def _case(
    system: System, name: str, run: Callable[[System, Size], Awaitable[Values]], once: bool = False
) -> Case:
    return Case(system.name, name, partial(run, system), once)


def puts(system: System) -> list[Case]:
    found = [
        _case(system, "enqueue", partial(_put, row_names.ENQUEUE, "one")),
        _case(system, "enqueue, many callers", partial(_put, row_names.ENQUEUE_CALLERS, "callers")),
    ]
    if system.bulk:
        found.append(_case(system, "enqueue_many", partial(_put, row_names.ENQUEUE_MANY, "bulk")))
    return found


def blocking_puts(system: System) -> list[Case]:
    return [
        _case(system, ONE_THREAD, partial(_put, row_names.ENQUEUE_SYNC, "one")),
        _case(system, MANY_THREADS, partial(_put, row_names.ENQUEUE_THREADS, "threads")),
    ]


def drains(system: System) -> list[Case]:
    return [
        *[
            _case(
                system,
                row_names.case_of(row_names.drain(slots)),
                partial(_drain_row, row_names.drain(slots), 1, slots),
            )
            for slots in system.slots
        ],
        _case(system, "drain, 2 processes", partial(_drain_row, row_names.TWO_PROCESSES, 2, system.two)),
    ]


def waits(system: System) -> list[Case]:
    return [
        _case(system, f"pick-up, {system.language} client", _pick_up, once=system.late),
        _case(system, "idle", _idle, once=True),
    ]


async def _put(row: str, how: str, system: System, size: Size) -> Values:
    count = {"one": size.one_by_one, "bulk": size.drained}.get(how, size.callers)
    count = min(count, system.count(size))
    callers = row_names.THREADS if how == "threads" else row_names.CALLERS
    with temporary_url("redis") as url:
        output = await process.run(system.command, "put", url=url, count=count, how=how, callers=callers)
    return {row: float(output)}


async def fill(system: System, url: str, count: int) -> None:
    """Fill the queue. The payload is passed as text for programs that cannot encode it."""
    how = "bulk" if system.bulk else "one"
    payload = (noop_task().payload or b"").decode()
    await process.run(
        system.command, "put", url=url, count=count, how=how, callers=system.fillers, payload=payload
    )


async def _drain_row(row: str, processes: int, slots: int, system: System, size: Size) -> Values:
    count = system.count(size)
    with temporary_url("redis") as url:
        await fill(system, url, count)
        return {row: await drained(system.command, url, count, slots, processes)}


async def drained(
    command: Sequence[str], url: str, count: int, slots: int, processes: int = 1, handler: str = "mark"
) -> float:
    """Tasks per second from the first to the `count`th run of a handler."""
    with sample_files(processes) as files:
        async with process.workers(command, files, url=url, slots=slots, eager=True, handler=handler) as crew:
            await wait_for_runs(files, count, crew.check)
        return rate(files, count)


async def _pick_up(system: System, size: Size) -> Values:
    with temporary_url("redis") as url, sample_file() as samples:
        async with process.workers(
            system.command, [samples], url=url, slots=10, eager=False, handler="age"
        ) as crew:
            await asyncio.sleep(WARM_UP_SECONDS)
            count = (size.late_samples if system.late else size.samples) + WARM_UP
            await send(system.command, url, count, str(samples.path))
            await samples.wait_for(count, crew.check)
        return percentiles(row_names.pick_up(system.language), samples.values()[WARM_UP:])


async def send(command: Sequence[str], url: str, count: int, samples: str) -> None:
    await process.run(command, "send", url=url, count=count, samples=samples, pause=(SHORTEST, LONGEST))


async def _idle(system: System, size: Size) -> Values:
    with temporary_url("redis") as url, sample_file() as samples:
        async with process.workers(
            system.command, [samples], url=url, slots=10, eager=False, handler="mark"
        ) as crew:
            await asyncio.sleep(2 * SETTLE)
            pids = [pid for parent in crew.pids for pid in (parent, *children(parent))]
            before = sum(map(cpu_seconds, pids))
            commands = await command_rate(url, size.idle_seconds)
            used = sum(map(cpu_seconds, pids)) - before
            found = {
                row_names.IDLE_COMMANDS: commands.heartbeats + commands.others,
                row_names.IDLE_CPU: 100 * used / size.idle_seconds,
                row_names.IDLE_MEMORY: sum(map(resident, pids)) / 1e6,
            }
            if system.language == "Go":
                found[row_names.IDLE_OTHER_COMMANDS] = commands.others
            crew.check()
            return found
