"""What `asynqio queue` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asynqio import AsynqioError, Inspector, QueueStats, TaskState
from asynqio.cli.output import json as records
from asynqio.cli.output.format import count, rate, span
from asynqio.cli.output.results import Outcome, report
from asynqio.cli.output.terminal import confirm, facts, hint, progress, run, show, table, watching

_NUMBERS = ("size", *(state.value for state in TaskState), "latency", "processed", "failed", "error rate")


def list_queues(url: str | None, *, as_json: bool, watch: float | None) -> None:
    async def work() -> None:
        async with Inspector(url) as inspector:

            async def draw() -> None:
                found = await inspector.queues()
                show([records.queue(stats) for stats in found], lambda: print_queues(found), as_json=as_json)

            await watching(watch, draw)

    run(work())


def print_queues(found: Sequence[QueueStats]) -> None:
    """A line for each queue."""
    rows = [
        [
            stats.queue,
            "paused" if stats.paused else "run",
            stats.size,
            *(getattr(stats, state.value) for state in TaskState),
            span(stats.latency),
            stats.processed,
            stats.failed,
            rate(stats.failed, stats.processed),
        ]
        for stats in found
    ]
    table(("queue", "state", *_NUMBERS), rows, right=_NUMBERS)


def inspect_queues(url: str | None, names: Sequence[str], *, as_json: bool, watch: float | None) -> None:
    async def work() -> None:
        async with Inspector(url) as inspector:

            async def draw() -> None:
                found = [(await inspector.queue(name), await inspector.paused_types(name)) for name in names]
                told = [{**records.queue(stats), "paused_types": paused} for stats, paused in found]
                show(told, lambda: _print_facts(found), as_json=as_json)

            await watching(watch, draw)

    run(work())


def _print_facts(found: Sequence[tuple[QueueStats, Mapping[str, float]]]) -> None:
    for number, (stats, paused_types) in enumerate(found):
        if number:
            print()
        facts(
            [
                ("queue", stats.queue),
                ("state", "paused" if stats.paused else "run"),
                ("paused types", ", ".join(sorted(paused_types)) or "none"),
                ("size", stats.size),
                *((state.value, getattr(stats, state.value)) for state in TaskState),
                ("groups", stats.groups),
                ("latency", span(stats.latency)),
                ("processed today", stats.processed),
                ("failed today", stats.failed),
                ("error rate today", rate(stats.failed, stats.processed)),
                ("processed in all", stats.processed_total),
                ("failed in all", stats.failed_total),
                ("evicted from the archive", stats.evicted_total),
                ("quarantined", stats.quarantined_total),
            ]
        )


def show_history(url: str | None, names: Sequence[str], days: int, *, as_json: bool) -> None:
    async def work() -> None:
        async with Inspector(url) as inspector:
            found = [day for name in names for day in await inspector.history(name, days)]
        rows = [
            (day.queue, day.day, day.processed, day.failed, rate(day.failed, day.processed)) for day in found
        ]
        titles = ("queue", "day", "processed", "failed", "error rate")
        show(found, lambda: table(titles, rows, right=titles[2:]), as_json=as_json)

    run(work())


def pause_queues(
    url: str | None, names: Sequence[str], types: Sequence[str], *, paused: bool, as_json: bool
) -> int:
    """Of queues as a whole, or of some types of task in them."""

    async def work() -> list[Outcome]:
        outcomes = []
        async with Inspector(url) as inspector:
            for name in names:
                for type in types or (None,):
                    try:
                        await inspector.queue(name)
                        changed = await _pause(inspector, name, type, paused)
                    except AsynqioError as error:
                        outcomes.append(Outcome.of(name, error))
                        continue
                    now = "paused" if paused else "resumed"
                    was = (
                        f"was {'paused' if paused else 'not paused'} already" if not changed else f"is {now}"
                    )
                    what = f"queue {name}" if type is None else f"type {type} of queue {name}"
                    outcomes.append(Outcome(name, True, now if changed else "unchanged", f"{what} {was}"))
        return outcomes

    return report("queue", run(work()), as_json=as_json)


async def _pause(inspector: Inspector, queue: str, type: str | None, paused: bool) -> bool:
    if type is None:
        return await (inspector.pause(queue) if paused else inspector.resume(queue))
    return await (inspector.pause_type(queue, type) if paused else inspector.resume_type(queue, type))


def remove_queues(url: str | None, names: Sequence[str], *, force: bool, yes: bool, as_json: bool) -> int:
    """Asks first when tasks would go as well."""

    async def sizes() -> int:
        async with Inspector(url) as inspector:
            known = {stats.queue: stats.size for stats in await inspector.queues()}
        return sum(known.get(name, 0) for name in dict.fromkeys(names))

    async def work() -> list[Outcome]:
        outcomes = []
        async with Inspector(url) as inspector:
            for name in names:
                try:
                    with progress(f"removing {name}") as told:
                        await inspector.remove_queue(name, force=force, on_progress=told)
                    outcomes.append(Outcome(name, True, "removed", f"queue {name} is removed"))
                except AsynqioError as error:
                    outcomes.append(Outcome.of(name, error))
        return outcomes

    if force and not yes and (tasks := run(sizes())):
        confirm(f"Remove {count(len(names), 'queue')} with {count(tasks, 'task')}?", yes=yes)
    outcomes = run(work())
    status = report("queue", outcomes, as_json=as_json)
    if not force and any(outcome.code == "wrong_state" for outcome in outcomes):
        hint("--force removes queues with the tasks in them")
    return status
