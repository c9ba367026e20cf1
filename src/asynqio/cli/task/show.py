"""Prints tasks: `asynqio task ls` and `inspect`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from asynqio import Filter, Inspector, QueueStats, TaskInfo, TaskState
from asynqio.cli.event_loop import inspect
from asynqio.cli.exit_status import PARTIAL
from asynqio.cli.output.format import bytes_text, duration, relative, timestamp
from asynqio.cli.output.json import show, task_json
from asynqio.cli.output.outcomes import report_failures
from asynqio.cli.output.table import print_fields, print_table
from asynqio.cli.output.terminal import clean, progress
from asynqio.cli.task.locate import locate

#: Longest payload and error in a table, in characters: each task takes one line.
MAX_CELL = 200
#: States in which a task has a due time.
_DUE = (TaskState.SCHEDULED, TaskState.RETRY)


class Page(NamedTuple):
    """Which tasks to list: one page of those that match."""

    queue: str | None
    states: Sequence[str]
    group: str
    conditions: Sequence[str]
    size: int
    number: int


# --- ls -------------------------------------------------------------------------------------------


def list_tasks(url: str | None, page: Page, output: str, *, watch: float | None) -> None:
    filter = Filter.parse(page.conditions)

    async def draw(inspector: Inspector) -> None:
        found = await _fetch(inspector, page, filter)
        now = inspector.broker.clock.now()
        if output == "ids":
            for info in found:
                print(clean(info.id))
            return
        data = [task_json(info) for info in found]
        show(data, lambda: _print_table(found, page, now), as_json=output == "json")

    inspect(url, draw, watch=watch)


async def _fetch(inspector: Inspector, page: Page, filter: Filter) -> list[TaskInfo]:
    """The tasks of a page. Without a filter the broker seeks to it; with one, all pages before it are read."""
    offset = (page.number - 1) * page.size
    states = [TaskState(state) for state in dict.fromkeys(page.states)] or list(TaskState)
    queues = [await inspector.queue(page.queue)] if page.queue else await inspector.queues()
    if not page.conditions:
        return await _seek(inspector, page, queues, states, offset)
    places = [(stats.queue, state, getattr(stats, state.value)) for stats in queues for state in states]
    found: list[TaskInfo] = []
    end, seen = offset + page.size, 0
    with progress("searching", sum(size for _, _, size in places)) as update:
        for queue, state, size in places:
            if not size or len(found) >= end:
                continue
            search = inspector.search(
                queue,
                state,
                filter,
                group=page.group,
                limit=end - len(found),
                on_progress=lambda now, before=seen: update(before + now.seen),  # type: ignore[misc]
            )
            found += [info async for info in search]
            seen += size
    return found[offset:]


async def _seek(
    inspector: Inspector, page: Page, queues: Sequence[QueueStats], states: Sequence[TaskState], offset: int
) -> list[TaskInfo]:
    """The tasks of a page, by the sizes of the queues: only tasks of this page are read."""
    found: list[TaskInfo] = []
    places = [(stats, state) for stats in queues for state in states]
    for stats, state in places:
        missing = page.size - len(found)
        if not missing:
            break
        size = getattr(stats, state.value)
        if state is TaskState.AGGREGATING and size and len(places) > 1:
            size = await _grouped(inspector, stats, page.group)
        if offset < size or len(places) == 1:
            found += await inspector.tasks(stats.queue, state, group=page.group, size=missing, offset=offset)
        offset = max(0, offset - size)
    return found


async def _grouped(inspector: Inspector, stats: QueueStats, group: str) -> int:
    """The exact number of aggregating tasks, of one group if it is named."""
    if not group and not stats.estimated:
        return stats.aggregating
    groups = await inspector.groups(stats.queue)
    return sum(found.size for found in groups if not group or found.group == group)


def _print_table(found: Sequence[TaskInfo], page: Page, now: float) -> None:
    """Print the tasks with the columns that apply to their states."""
    columns: list[tuple[str, Callable[[TaskInfo], object]]] = [("id", lambda info: info.id)]
    if not page.queue:
        columns.append(("queue", lambda info: info.queue))
    if len(page.states) != 1:
        columns.append(("state", _state))
    columns += [
        ("type", lambda info: info.type),
        ("payload", lambda info: bytes_text(info.payload)[:MAX_CELL]),
    ]
    states = {info.state for info in found} or {TaskState(state) for state in page.states}
    if states & set(_DUE):
        columns.append(("due", lambda info: relative(info.next_process_at, now) if _is_due(info) else ""))
    if TaskState.AGGREGATING in states:
        columns.append(("group", lambda info: info.group))
    if TaskState.COMPLETED in states:
        columns.append(("completed", lambda info: relative(info.completed_at, now)))
        columns.append(("result", lambda info: bytes_text(info.result)[:MAX_CELL]))
    if states & {TaskState.RETRY, TaskState.ARCHIVED}:
        columns.append(("retried", lambda info: f"{info.retried}/{info.max_retry}"))
        columns.append(("last failed", lambda info: relative(info.last_failed_at, now)))
        columns.append(("last error", lambda info: info.last_error[:MAX_CELL]))
    print_table([title for title, _ in columns], [[cell(info) for _, cell in columns] for info in found])


def _state(info: TaskInfo) -> str:
    return "orphaned" if info.is_orphaned else info.state.value


def _is_due(info: TaskInfo) -> bool:
    return info.state in _DUE


# --- inspect --------------------------------------------------------------------------------------


def inspect_tasks(
    url: str | None, queue: str | None, ids: Sequence[str], *, as_json: bool, watch: float | None
) -> int:
    """Print all fields of tasks. Returns the exit status."""
    status = 0

    async def draw(inspector: Inspector) -> None:
        nonlocal status
        found, missing = await locate(inspector, queue, ids)
        now = inspector.broker.clock.now()
        show([task_json(info) for info in found], lambda: _print_tasks(found, now), as_json=as_json)
        status = report_failures(missing)
        if found and missing:
            status = PARTIAL

    inspect(url, draw, watch=watch)
    return status


def _print_tasks(found: Sequence[TaskInfo], now: float) -> None:
    for number, info in enumerate(found):
        if number:
            print()
        fields: list[tuple[str, object]] = [
            ("id", info.id),
            ("queue", info.queue),
            ("type", info.type),
            ("state", _state(info)),
            ("group", info.group),
            ("payload", bytes_text(info.payload)),
            *((f"header {name}", value) for name, value in sorted(info.headers.items())),
            ("retried", f"{info.retried} of {info.max_retry}"),
            ("worker crashes", info.crashes or ""),
            ("deferrals in a row", info.deferrals or ""),
            ("pending since", timestamp(info.pending_since, now)),
            ("due", timestamp(info.next_process_at, now) if _is_due(info) else ""),
            ("timeout", duration(info.timeout) if info.timeout else ""),
            ("deadline", timestamp(info.deadline, now)),
            ("unique key", info.unique_key),
            ("last failed", timestamp(info.last_failed_at, now)),
            ("last error", info.last_error),
            ("completed", timestamp(info.completed_at, now)),
            ("retention", duration(info.retention) if info.retention else ""),
            ("progress", bytes_text(info.progress)),
            ("result", bytes_text(info.result)),
        ]
        print_fields([(name, value) for name, value in fields if value != "" or name == "payload"])
