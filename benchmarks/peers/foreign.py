"""Cases of any system that has a program of its own (see programs/common.py for what it must do)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from benchmarks import rows
from benchmarks.case import Case, Figures, Size
from benchmarks.enqueue import noop_task
from benchmarks.idle import SETTLE, children, cpu_seconds, resident
from benchmarks.journal import fresh_journal, fresh_journals, rate, until
from benchmarks.latency import LONGEST, SHORTEST, WARM_UP, figures
from benchmarks.peers import process
from benchmarks.place import fresh_url
from benchmarks.traffic import traffic

#: Seconds a worker gets until it is waiting for the first task of the latency measurement.
WARM_UP_SECONDS = 1.0


class System(msgspec.Struct, frozen=True):
    """A peer, and how its program is started."""

    name: str
    command: tuple[str, ...]
    #: In what the pick-up is measured: "Python" or "Go".
    language: str
    #: Tasks that are put in and drained at once.
    count: Callable[[Size], int]
    slots: tuple[int, ...] = rows.SLOTS
    #: Slots of each of two processes.
    two: int = rows.COMMON_SLOTS
    #: It has a call that enqueues many.
    bulk: bool = False
    #: Callers that fill its queue where there is a choice.
    fillers: int = rows.CALLERS
    #: It looks for tasks only now and then.
    late: bool = False


def cases(system: System) -> list[Case]:
    return [*puts(system), *drains(system), *waits(system)]


def _case(
    system: System, name: str, run: Callable[[System, Size], Awaitable[Figures]], once: bool = False
) -> Case:
    return Case(system.name, name, partial(run, system), once)


def puts(system: System) -> list[Case]:
    found = [
        _case(system, "enqueue", partial(_put, rows.ENQUEUE, "one")),
        _case(system, "enqueue, many callers", partial(_put, rows.ENQUEUE_CALLERS, "callers")),
    ]
    if system.bulk:
        found.append(_case(system, "enqueue_many", partial(_put, rows.ENQUEUE_MANY, "bulk")))
    return found


def drains(system: System) -> list[Case]:
    return [
        *[
            _case(
                system,
                rows.case_of(rows.drain(slots)),
                partial(_drain_row, rows.drain(slots), 1, slots),
            )
            for slots in system.slots
        ],
        _case(system, "drain, 2 processes", partial(_drain_row, rows.TWO_PROCESSES, 2, system.two)),
    ]


def waits(system: System) -> list[Case]:
    return [
        _case(system, f"pick-up, {system.language} client", _pick_up, once=system.late),
        _case(system, "idle", _idle, once=True),
    ]


async def _put(row: str, how: str, system: System, size: Size) -> Figures:
    count = {"one": size.one_by_one, "callers": size.callers, "bulk": size.drained}[how]
    count = min(count, system.count(size))
    with fresh_url("redis") as url:
        said = await process.run(system.command, "put", url=url, count=count, how=how, callers=rows.CALLERS)
    return {row: float(said)}


async def fill(system: System, url: str, count: int) -> None:
    """With the payload given as text for those that cannot make it."""
    how = "bulk" if system.bulk else "one"
    payload = (noop_task().payload or b"").decode()
    await process.run(
        system.command, "put", url=url, count=count, how=how, callers=system.fillers, payload=payload
    )


async def _drain_row(row: str, processes: int, slots: int, system: System, size: Size) -> Figures:
    count = system.count(size)
    with fresh_url("redis") as url:
        await fill(system, url, count)
        return {row: await drained(system.command, url, count, slots, processes)}


async def drained(
    command: Sequence[str], url: str, count: int, slots: int, processes: int = 1, handler: str = "mark"
) -> float:
    """Tasks per second from the first to the `count`th run of a handler."""
    with fresh_journals(processes) as journals:
        async with process.workers(
            command, journals, url=url, slots=slots, eager=True, handler=handler
        ) as crew:
            await until(journals, count, crew.check)
        return rate(journals, count)


async def _pick_up(system: System, size: Size) -> Figures:
    with fresh_url("redis") as url, fresh_journal() as journal:
        async with process.workers(
            system.command, [journal], url=url, slots=10, eager=False, handler="age"
        ) as crew:
            await asyncio.sleep(WARM_UP_SECONDS)
            count = (size.late_samples if system.late else size.samples) + WARM_UP
            await sent(system.command, url, count, str(journal.path))
            await journal.until(count, crew.check)
        return figures(rows.pick_up(system.language), journal.values()[WARM_UP:])


async def sent(command: Sequence[str], url: str, count: int, journal: str) -> None:
    await process.run(command, "send", url=url, count=count, journal=journal, pause=(SHORTEST, LONGEST))


async def _idle(system: System, size: Size) -> Figures:
    with fresh_url("redis") as url, fresh_journal() as journal:
        async with process.workers(
            system.command, [journal], url=url, slots=10, eager=False, handler="mark"
        ) as crew:
            await asyncio.sleep(2 * SETTLE)
            pids = [pid for parent in crew.pids for pid in (parent, *children(parent))]
            before = sum(map(cpu_seconds, pids))
            seen = await traffic(url, size.idle_seconds)
            used = sum(map(cpu_seconds, pids)) - before
            found = {
                rows.IDLE_COMMANDS: seen.heartbeats + seen.others,
                rows.IDLE_CPU: 100 * used / size.idle_seconds,
                rows.IDLE_MEMORY: sum(map(resident, pids)) / 1e6,
            }
            if system.language == "Go":
                found[rows.IDLE_OTHER_COMMANDS] = seen.others
            crew.check()
            return found
