"""Prints queues: `asynqio queue ls`, `inspect` and `history`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asynqio import Inspector, QueueStats, TaskState
from asynqio.cli.event_loop import inspect
from asynqio.cli.output.format import duration, error_rate
from asynqio.cli.output.json import queue_json, show
from asynqio.cli.output.table import print_fields, print_table

_NUMBERS = ("size", *(state.value for state in TaskState), "latency", "processed", "failed", "error rate")


def list_queues(url: str | None, *, as_json: bool, watch: float | None) -> None:
    async def draw(inspector: Inspector) -> None:
        found = await inspector.queues()
        show([queue_json(stats) for stats in found], lambda: print_queues(found), as_json=as_json)

    inspect(url, draw, watch=watch)


def print_queues(found: Sequence[QueueStats]) -> None:
    """Print a table with one row per queue."""
    rows = [
        [
            stats.queue,
            _status(stats),
            stats.size,
            *(getattr(stats, state.value) for state in TaskState),
            duration(stats.latency),
            stats.processed,
            stats.failed,
            error_rate(stats.failed, stats.processed),
        ]
        for stats in found
    ]
    print_table(("queue", "status", *_NUMBERS), rows, right=_NUMBERS)


def _status(stats: QueueStats) -> str:
    return "paused" if stats.paused else "running"


def inspect_queues(url: str | None, names: Sequence[str], *, as_json: bool, watch: float | None) -> None:
    async def draw(inspector: Inspector) -> None:
        found = [(await inspector.queue(name), await inspector.paused_types(name)) for name in names]
        data = [{**queue_json(stats), "paused_types": paused} for stats, paused in found]
        show(data, lambda: _print_queue_fields(found), as_json=as_json)

    inspect(url, draw, watch=watch)


def _print_queue_fields(found: Sequence[tuple[QueueStats, Mapping[str, float]]]) -> None:
    for number, (stats, paused_types) in enumerate(found):
        if number:
            print()
        print_fields(
            [
                ("queue", stats.queue),
                ("status", _status(stats)),
                ("paused types", ", ".join(sorted(paused_types)) or "none"),
                ("size", stats.size),
                *((state.value, getattr(stats, state.value)) for state in TaskState),
                ("groups", stats.groups),
                ("latency", duration(stats.latency)),
                ("processed today", stats.processed),
                ("failed today", stats.failed),
                ("error rate today", error_rate(stats.failed, stats.processed)),
                ("processed total", stats.processed_total),
                ("failed total", stats.failed_total),
                ("evicted from archive", stats.evicted_total),
                ("quarantined", stats.quarantined_total),
            ]
        )


def show_history(url: str | None, names: Sequence[str], days: int, *, as_json: bool) -> None:
    async def draw(inspector: Inspector) -> None:
        found = [day for name in names for day in await inspector.history(name, days)]
        rows = [
            (day.queue, day.day, day.processed, day.failed, error_rate(day.failed, day.processed))
            for day in found
        ]
        titles = ("queue", "day", "processed", "failed", "error rate")
        show(found, lambda: print_table(titles, rows, right=titles[2:]), as_json=as_json)

    inspect(url, draw)
