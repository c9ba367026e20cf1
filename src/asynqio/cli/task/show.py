"""What `asynqio task ls` and `inspect` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from asynqio import Filter, Inspector, TaskInfo, TaskState
from asynqio.cli.output import json as records
from asynqio.cli.output.format import moment, relative, span, text_of
from asynqio.cli.output.results import report
from asynqio.cli.output.terminal import clean, facts, progress, run, show, table, watching
from asynqio.cli.task.locate import locate

#: Longest payload and error shown in a table, in characters: a line should stay a line.
SHOWN = 200


class Wanted(NamedTuple):
    """Which tasks, and how many of them."""

    queue: str | None
    states: Sequence[str]
    group: str
    conditions: Sequence[str]
    size: int
    page: int


def list_tasks(url: str | None, wanted: Wanted, output: str, *, watch: float | None) -> None:
    filter = Filter.parse(wanted.conditions)

    async def work() -> None:
        async with Inspector(url) as inspector:

            async def draw() -> None:
                found = await _wanted(inspector, wanted, filter)
                now = inspector.broker.clock.now()
                if output == "ids":
                    for info in found:
                        print(clean(info.id))
                    return
                people = _table(found, wanted, now)
                show([records.task(info) for info in found], people, as_json=output == "json")

            await watching(watch, draw)

    run(work())


async def _wanted(inspector: Inspector, wanted: Wanted, filter: Filter) -> list[TaskInfo]:
    """One page. Through a single state one goes straight to it; else everything before it is passed."""
    skipped = (wanted.page - 1) * wanted.size
    states = [TaskState(state) for state in dict.fromkeys(wanted.states)] or list(TaskState)
    queues = [await inspector.queue(wanted.queue)] if wanted.queue else await inspector.queues()
    if len(queues) == len(states) == 1 and not wanted.conditions:
        return await inspector.tasks(
            queues[0].queue, states[0], group=wanted.group, size=wanted.size, offset=skipped
        )
    places = [(stats.queue, state, getattr(stats, state.value)) for stats in queues for state in states]
    found: list[TaskInfo] = []
    end, passed = skipped + wanted.size, 0
    with progress("looking", sum(size for _, _, size in places) if wanted.conditions else None) as told:
        for queue, state, size in places:
            if not size or len(found) >= end:
                continue
            before = passed
            matching = inspector.search(
                queue,
                state,
                filter,
                group=wanted.group,
                limit=end - len(found),
                on_progress=lambda now, before=before: told(before + now.seen),  # type: ignore[misc]
            )
            found += [info async for info in matching]
            passed += size
    return found[skipped:]


def _table(found: Sequence[TaskInfo], wanted: Wanted, now: float) -> Callable[[], None]:
    """Columns as far as they say something."""
    columns: list[tuple[str, Callable[[TaskInfo], object]]] = [("id", lambda info: info.id)]
    if not wanted.queue:
        columns.append(("queue", lambda info: info.queue))
    if len(wanted.states) != 1:
        columns.append(("state", _state))
    columns += [("type", lambda info: info.type), ("payload", lambda info: text_of(info.payload)[:SHOWN])]
    there = {info.state for info in found} or {TaskState(state) for state in wanted.states}
    if there & {TaskState.SCHEDULED, TaskState.RETRY}:
        columns.append(("due", lambda info: _due(info, now)))
    if TaskState.AGGREGATING in there:
        columns.append(("group", lambda info: info.group))
    if TaskState.COMPLETED in there:
        columns.append(("completed", lambda info: relative(info.completed_at, now)))
        columns.append(("result", lambda info: text_of(info.result)[:SHOWN]))
    if there & {TaskState.RETRY, TaskState.ARCHIVED}:
        columns.append(("retried", lambda info: f"{info.retried}/{info.max_retry}"))
        columns.append(("last failed", lambda info: relative(info.last_failed_at, now)))
        columns.append(("last error", lambda info: info.last_error[:SHOWN]))
    rows = [[cell(info) for _, cell in columns] for info in found]
    return lambda: table([title for title, _ in columns], rows)


def _state(info: TaskInfo) -> str:
    return "orphaned" if info.is_orphaned else info.state.value


def _due(info: TaskInfo, now: float) -> str:
    waits = info.state in (TaskState.SCHEDULED, TaskState.RETRY)
    return relative(info.next_process_at, now) if waits else ""


def inspect_tasks(
    url: str | None, queue: str | None, ids: Sequence[str], *, as_json: bool, watch: float | None
) -> int:
    status = 0

    async def work() -> None:
        async with Inspector(url) as inspector:

            async def draw() -> None:
                nonlocal status
                found, missing = await locate(inspector, queue, ids)
                now = inspector.broker.clock.now()
                show([records.task(info) for info in found], lambda: _print(found, now), as_json=as_json)
                status = report("id", [*missing], as_json=False)
                if found and missing:
                    status = 6

            await watching(watch, draw)

    run(work())
    return status


def _print(found: Sequence[TaskInfo], now: float) -> None:
    for number, info in enumerate(found):
        if number:
            print()
        pairs: list[tuple[str, object]] = [
            ("id", info.id),
            ("queue", info.queue),
            ("type", info.type),
            ("state", _state(info)),
            ("group", info.group),
            ("payload", text_of(info.payload)),
            *((f"header {name}", value) for name, value in sorted(info.headers.items())),
            ("retried", f"{info.retried} of {info.max_retry}"),
            ("workers that died", info.crashes or ""),
            ("put off in a row", info.deferrals or ""),
            ("pending since", moment(info.pending_since, now)),
            ("due", moment(info.next_process_at, now) if info.state in _DUE else ""),
            ("timeout", span(info.timeout) if info.timeout else ""),
            ("deadline", moment(info.deadline, now)),
            ("unique key", info.unique_key),
            ("last failed", moment(info.last_failed_at, now)),
            ("last error", info.last_error),
            ("completed", moment(info.completed_at, now)),
            ("retention", span(info.retention) if info.retention else ""),
            ("progress", text_of(info.progress)),
            ("result", text_of(info.result)),
        ]
        always = {"payload"}
        facts([(name, value) for name, value in pairs if value != "" or name in always])


_DUE = (TaskState.SCHEDULED, TaskState.RETRY)
