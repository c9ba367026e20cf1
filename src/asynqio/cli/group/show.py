"""Prints groups: `asynqio group ls`."""

from __future__ import annotations

from asynqio import GroupStats, Inspector
from asynqio.cli.event_loop import inspect
from asynqio.cli.output.format import relative
from asynqio.cli.output.json import show
from asynqio.cli.output.table import print_table


def list_groups(url: str | None, queue: str | None, *, as_json: bool, watch: float | None) -> None:
    async def draw(inspector: Inspector) -> None:
        names = [queue] if queue is not None else [stats.queue for stats in await inspector.queues()]
        found = [(name, group) for name in names for group in await inspector.groups(name)]
        now = inspector.broker.clock.now()
        data = [
            {"queue": name, **{field: getattr(group, field) for field in GroupStats.__struct_fields__}}
            for name, group in found
        ]
        rows = [
            (
                name,
                group.group,
                group.size,
                relative(group.oldest_at, now),
                relative(group.newest_at, now),
                group.failure.failures if group.failure is not None else "",
                relative(group.failure.retry_at, now) if group.failure is not None else "",
            )
            for name, group in found
        ]
        titles = ("queue", "group", "size", "oldest", "newest", "failures", "tried again")
        show(data, lambda: print_table(titles, rows, right=("size", "failures")), as_json=as_json)

    inspect(url, draw, watch=watch)
