"""What `asynqio task run`, `archive`, `delete`, `move` and `cancel` do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from asynqio import Applied, Filter, Inspector, Moved, TaskInfo, TaskState
from asynqio.cli.output.format import count
from asynqio.cli.output.results import FAILED, IN_PART, Outcome, report
from asynqio.cli.output.terminal import Refused, clean, confirm, hint, progress, run, show
from asynqio.cli.task.action_kinds import Deed
from asynqio.cli.task.locate import locate

#: Tasks acted on by one call.
BATCH_SIZE = 200


class Meant(NamedTuple):
    """The tasks that somebody means: by their ids, or all of some states that match."""

    ids: Sequence[str]
    queue: str | None
    stdin: bool
    all: bool
    states: Sequence[str]
    group: str
    conditions: Sequence[str]
    max: int | None


def act_on(url: str | None, deed: Deed, meant: Meant, *, output: str, dry_run: bool, yes: bool) -> int:
    """Do it, or say what would be done; the exit status. Raises Refused for what means nothing."""
    deed.check(meant.queue)
    if meant.ids or meant.stdin:
        if meant.all or meant.conditions or meant.states or dry_run:
            raise Refused("name ids, or describe tasks by --state and a filter, but not both")
        ids = (
            [*meant.ids, *(line.strip() for line in sys.stdin if line.strip())] if meant.stdin else meant.ids
        )
        return report("id", run(_act_by_id(url, deed, meant.queue, ids)), as_json=output == "json")
    _check(deed, meant)
    filter = Filter.parse(meant.conditions)
    if dry_run:
        return _show_matches(url, deed, meant, filter, output)
    if not yes:
        matching = run(_count(url, deed, meant, filter))
        if not matching:
            return _tell(deed, Applied(), as_json=output == "json")
        where = f"of queue {meant.queue}" if meant.queue else "of all queues"
        states = " and ".join(meant.states)
        tasks = count(matching, f"{states} task")
        confirm(
            f"{deed.verb.capitalize()} {tasks} {where}{' that match' if meant.conditions else ''}?", yes=False
        )
    return _tell(deed, run(_act_on_all(url, deed, meant, filter)), as_json=output == "json")


def _check(deed: Deed, meant: Meant) -> None:
    if not meant.all and not meant.conditions:
        raise Refused(
            "which tasks? Name ids (or --stdin), or describe them: --state STATE with a filter, or --all"
        )
    if meant.all and meant.conditions:
        raise Refused("--all means every task of a state: leave it out, or the filter")
    allowed = sorted(state.value for state in deed.origins)
    if not meant.states:
        raise Refused(f"of which --state? It can be {', '.join(allowed)}")
    for state in meant.states:
        if state not in allowed:
            raise Refused(
                f"tasks that are {state} cannot be {deed.past}; those that are {', '.join(allowed)} can"
            )


# --- by id ----------------------------------------------------------------------------------------


async def _act_by_id(url: str | None, deed: Deed, queue: str | None, ids: Sequence[str]) -> list[Outcome]:
    async with Inspector(url) as inspector:
        infos, outcomes = await locate(inspector, queue, ids)
        with progress(deed.verb, len(infos)) as told:
            for start in range(0, len(infos), BATCH_SIZE):
                outcomes += await _act(inspector, deed, infos[start : start + BATCH_SIZE])
                told(len(outcomes))
        if any(outcome.done for outcome in outcomes):
            await deed.warn(inspector)
    places = {id: place for place, id in enumerate(ids)}
    return sorted(outcomes, key=lambda outcome: places[outcome.name])


async def _act(inspector: Inspector, deed: Deed, infos: Sequence[TaskInfo]) -> list[Outcome]:
    outcomes = []
    for queue in dict.fromkeys(info.queue for info in infos):
        mine = [info for info in infos if info.queue == queue]
        answers = await deed.to_some(inspector, queue, mine)
        outcomes += [_outcome(deed, info, answer) for info, answer in zip(mine, answers, strict=True)]
    return outcomes


def _outcome(deed: Deed, info: TaskInfo, answer: Moved) -> Outcome:
    match answer:
        case Moved.DONE:
            return Outcome(info.id, True, "done", f"task {info.id} {deed.done}")
        case Moved.NOT_FOUND:
            return Outcome(info.id, False, "not_found", f"task {info.id!r} is gone meanwhile")
        case Moved.DUPLICATE:
            held = f"the uniqueness lock of task {info.id!r} is held in queue {deed.to}"
            return Outcome(info.id, False, "duplicate", held)
        case Moved.ID_CONFLICT:
            return Outcome(info.id, False, "id_conflict", f"queue {deed.to} has a task {info.id!r} already")
    return Outcome(
        info.id,
        False,
        "wrong_state",
        f"task {info.id!r} is {info.state.value}: it cannot be {deed.past} now",
    )


# --- all that match -------------------------------------------------------------------------------


async def _queues(inspector: Inspector, deed: Deed, meant: Meant) -> list[tuple[str, TaskState, int]]:
    """The queues and states that are meant, and how many tasks are there."""
    found = [await inspector.queue(meant.queue)] if meant.queue else await inspector.queues()
    found = [stats for stats in found if stats.queue != deed.to]
    states = [TaskState(state) for state in dict.fromkeys(meant.states)]
    return [(stats.queue, state, getattr(stats, state.value)) for stats in found for state in states]


async def _matches(
    inspector: Inspector, deed: Deed, meant: Meant, filter: Filter, told: Callable[[int], None]
) -> AsyncGenerator[TaskInfo]:
    seen, left = 0, meant.max
    for queue, state, _ in await _queues(inspector, deed, meant):
        last = Applied()

        def note(now: Applied) -> None:
            nonlocal last
            last = now
            told(seen + now.seen)  # noqa: B023

        found = inspector.search(queue, state, filter, group=meant.group, limit=left, on_progress=note)
        async for info in found:
            yield info
        seen += last.seen
        left = None if left is None else left - last.matched


async def _count(url: str | None, deed: Deed, meant: Meant, filter: Filter) -> int:
    """How many match. For all of a state it is known."""
    async with Inspector(url) as inspector:
        total = sum(size for _, _, size in await _queues(inspector, deed, meant))
        if not meant.conditions and not meant.group:
            return total if meant.max is None else min(total, meant.max)
        matching = 0
        with progress("looking", total) as told:
            async for _ in _matches(inspector, deed, meant, filter, told):
                matching += 1
        return matching


def _show_matches(url: str | None, deed: Deed, meant: Meant, filter: Filter, output: str) -> int:
    async def work() -> tuple[list[str], int]:
        async with Inspector(url) as inspector:
            total = sum(size for _, _, size in await _queues(inspector, deed, meant))
            with progress("looking", total) as told:
                ids = []
                async for info in _matches(inspector, deed, meant, filter, told):
                    ids.append(info.id)
                    if output == "ids":
                        print(clean(info.id))
        return ids, total

    ids, total = run(work())
    if output == "ids":
        return 0
    said = {"action": deed.verb, "dry_run": True, "seen": total, "matched": len(ids), "done": 0}
    text = f"{count(len(ids), 'task')} would be {deed.past} ({total:,} there); nothing was done"
    show(said, lambda: print(text), as_json=output == "json")
    return 0


async def _act_on_all(url: str | None, deed: Deed, meant: Meant, filter: Filter) -> Applied:
    sums = Applied()
    now = sums
    try:
        async with Inspector(url) as inspector:
            places = await _queues(inspector, deed, meant)
            with progress(deed.verb, sum(size for _, _, size in places)) as told:
                for queue, state, _ in places:

                    def note(step: Applied) -> None:
                        nonlocal now
                        now = Applied(*(a + b for a, b in zip(sums, step, strict=True)))  # noqa: B023
                        told(now.seen)

                    left = None if meant.max is None else meant.max - sums.matched
                    await _apply(inspector, deed, queue, state, filter, meant.group, left, note)
                    sums = now
            if sums.done:
                await deed.warn(inspector)
        return sums
    except asyncio.CancelledError:
        hint(f"stopped: {count(now.done, 'task')} {deed.past} so far")
        raise


async def _apply(
    inspector: Inspector,
    deed: Deed,
    queue: str,
    state: TaskState,
    filter: Filter,
    group: str,
    left: int | None,
    note: Callable[[Applied], None],
) -> None:
    if deed.action is not None:
        await inspector.apply(deed.action, queue, state, filter, group=group, limit=left, on_progress=note)
        return
    seen = Applied()

    def look(now: Applied) -> None:
        nonlocal seen
        seen = now

    ids = [info.id async for info in inspector.search(queue, state, filter, limit=left, on_progress=look)]
    for start in range(0, len(ids), BATCH_SIZE):
        await inspector.cancel_many(ids[start : start + BATCH_SIZE], queue=queue, final=deed.archive)
    note(seen._replace(done=len(ids)))


def _tell(deed: Deed, applied: Applied, *, as_json: bool) -> int:
    said = {"action": deed.verb, "dry_run": False, **applied._asdict()}
    text = f"{count(applied.done, 'task')} {deed.past} ({applied.seen:,} looked at)"
    show(said, lambda: print(text), as_json=as_json)
    if missed := applied.matched - applied.done:
        had = "are there already, or had gone on" if deed.to else "had gone, or gone on to another state,"
        hint(f"{count(missed, 'task')} {had} meanwhile")
        return IN_PART if applied.done else FAILED
    return 0
