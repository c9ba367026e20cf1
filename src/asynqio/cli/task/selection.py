"""Selects the tasks that an action applies to: by id, or by state and filter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from asynqio import Applied, Filter, Inspector, TaskInfo, TaskState
from asynqio.cli.output.terminal import Refused
from asynqio.cli.task.task_action import TaskAction


class Selection(NamedTuple):
    """The tasks named on the command line: ids, or states with conditions or `--all`."""

    ids: Sequence[str]
    queue: str | None
    stdin: bool
    all: bool
    states: Sequence[str]
    group: str
    conditions: Sequence[str]
    max: int | None

    @property
    def by_id(self) -> bool:
        return bool(self.ids) or self.stdin

    def check(self, action: TaskAction, *, dry_run: bool) -> None:
        """Raises Refused if the options contradict each other or do not suit the action."""
        if self.by_id:
            if self.all or self.conditions or self.states or dry_run:
                raise Refused("select tasks either by id or by --state with a filter, not both")
            return
        if not self.all and not self.conditions:
            raise Refused(
                "no tasks selected: give ids (or --stdin), or --state STATE with a filter or with --all"
            )
        if self.all and self.conditions:
            raise Refused("--all selects every task in a state: use either --all or a filter")
        allowed = sorted(state.value for state in action.origins)
        if not self.states:
            raise Refused(f"--state is missing: one of {', '.join(allowed)}")
        for state in self.states:
            if state not in allowed:
                raise Refused(f"{state} tasks cannot be {action.participle}; {', '.join(allowed)} tasks can")


async def places(
    inspector: Inspector, action: TaskAction, selection: Selection
) -> list[tuple[str, TaskState, int]]:
    """The selected queues and states, with the number of tasks in each."""
    queues = [await inspector.queue(selection.queue)] if selection.queue else await inspector.queues()
    states = [TaskState(state) for state in dict.fromkeys(selection.states)]
    return [
        (stats.queue, state, getattr(stats, state.value))
        for stats in queues
        if stats.queue != action.to
        for state in states
    ]


async def matches(
    inspector: Inspector,
    action: TaskAction,
    selection: Selection,
    filter: Filter,
    on_progress: Callable[[int], None],
) -> AsyncGenerator[TaskInfo]:
    """The selected tasks. Calls `on_progress` with the number of tasks examined."""
    seen, limit = 0, selection.max
    for queue, state, _ in await places(inspector, action, selection):
        last = Applied()

        def update(now: Applied) -> None:
            nonlocal last
            last = now
            on_progress(seen + now.seen)  # noqa: B023

        found = inspector.search(queue, state, filter, group=selection.group, limit=limit, on_progress=update)
        async for info in found:
            yield info
        seen += last.seen
        limit = None if limit is None else limit - last.matched
