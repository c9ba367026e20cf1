"""Acts on tasks: `asynqio task run`, `archive`, `delete`, `move` and `cancel`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence

from asynqio import Applied, CancelOutcome, Filter, Inspector, Moved, TaskInfo, TaskState
from asynqio.cli.event_loop import run
from asynqio.cli.exit_status import FAILED, PARTIAL
from asynqio.cli.output.format import count
from asynqio.cli.output.json import show
from asynqio.cli.output.outcomes import Outcome, report
from asynqio.cli.output.terminal import clean, confirm, hint, progress
from asynqio.cli.task.lines import read_ids
from asynqio.cli.task.locate import locate
from asynqio.cli.task.selection import Selection, matches, places
from asynqio.cli.task.task_action import TaskAction

#: Tasks per call of the broker.
BATCH_SIZE = 200


def act_on(
    url: str | None, action: TaskAction, selection: Selection, *, output: str, dry_run: bool, yes: bool
) -> int:
    """Apply the action to the selected tasks, or print what it would do. Returns the exit status. Raises Refused."""
    action.check(selection.queue)
    selection.check(action, dry_run=dry_run)
    as_json = output == "json"
    if selection.by_id:
        ids = list(selection.ids)
        if selection.stdin:
            ids += read_ids(sys.stdin.buffer)
        return report("id", run(_act_by_id(url, action, selection.queue, ids)), as_json=as_json)
    filter = Filter.parse(selection.conditions)
    if dry_run:
        return _print_matches(url, action, selection, filter, output)
    if not yes:
        total = run(_count(url, action, selection, filter))
        if not total:
            return _report(action, Applied(), as_json=as_json)
        confirm(_question(action, selection, total), yes=False)
    return _report(action, run(_act_on_matches(url, action, selection, filter)), as_json=as_json)


def _question(action: TaskAction, selection: Selection, total: int) -> str:
    where = f"of queue {selection.queue}" if selection.queue else "of all queues"
    tasks = count(total, f"{' and '.join(selection.states)} task")
    matching = " that match" if selection.conditions else ""
    return f"{action.name.capitalize()} {tasks} {where}{matching}?"


# --- by id ----------------------------------------------------------------------------------------


async def _act_by_id(
    url: str | None, action: TaskAction, queue: str | None, ids: Sequence[str]
) -> list[Outcome]:
    async with Inspector(url) as inspector:
        infos, outcomes = await locate(inspector, queue, ids)
        with progress(action.name, len(infos)) as update:
            for start in range(0, len(infos), BATCH_SIZE):
                outcomes += await _act_on_batch(inspector, action, infos[start : start + BATCH_SIZE])
                update(len(outcomes))
        if any(outcome.done for outcome in outcomes):
            await action.warn(inspector)
    positions = {id: position for position, id in enumerate(ids)}
    return sorted(outcomes, key=lambda outcome: positions[outcome.name])


async def _act_on_batch(inspector: Inspector, action: TaskAction, infos: Sequence[TaskInfo]) -> list[Outcome]:
    results = await action.apply(inspector, infos)
    return [_outcome(action, info, result) for info, result in zip(infos, results, strict=True)]


def _outcome(action: TaskAction, info: TaskInfo, result: Moved | CancelOutcome) -> Outcome:
    match result:
        case Moved.DONE:
            return Outcome(info.id, True, "done", f"task {info.id} {action.result}")
        case CancelOutcome.DELETED:
            return Outcome(info.id, True, "deleted", f"task {info.id} is deleted")
        case CancelOutcome.STOPPING:
            return Outcome(info.id, True, "stopping", f"task {info.id} is being stopped")
        case Moved.NOT_FOUND | CancelOutcome.NOT_FOUND:
            return Outcome(info.id, False, "not_found", f"task {info.id!r} no longer exists")
        case Moved.DUPLICATE:
            message = f"the uniqueness lock of task {info.id!r} is taken in queue {action.to}"
            return Outcome(info.id, False, "duplicate", message)
        case Moved.ID_CONFLICT:
            message = f"queue {action.to} already has a task {info.id!r}"
            return Outcome(info.id, False, "id_conflict", message)
    message = f"task {info.id!r} is {info.state.value} and cannot be {action.participle}"
    return Outcome(info.id, False, "wrong_state", message)


# --- by state and filter --------------------------------------------------------------------------


async def _count(url: str | None, action: TaskAction, selection: Selection, filter: Filter) -> int:
    """The number of matching tasks. Without a filter, the statistics of the queues tell."""
    async with Inspector(url) as inspector:
        total = sum(size for _, _, size in await places(inspector, action, selection))
        if not selection.conditions and not selection.group:
            return total if selection.max is None else min(total, selection.max)
        matching = 0
        with progress("searching", total) as update:
            async for _ in matches(inspector, action, selection, filter, update):
                matching += 1
        return matching


def _print_matches(
    url: str | None, action: TaskAction, selection: Selection, filter: Filter, output: str
) -> int:
    """`--dry-run`."""

    async def work() -> tuple[list[str], int]:
        async with Inspector(url) as inspector:
            total = sum(size for _, _, size in await places(inspector, action, selection))
            with progress("searching", total) as update:
                ids = []
                async for info in matches(inspector, action, selection, filter, update):
                    ids.append(info.id)
                    if output == "ids":
                        print(clean(info.id))
        return ids, total

    ids, total = run(work())
    if output == "ids":
        return 0
    data = {"action": action.name, "dry_run": True, "seen": total, "matched": len(ids), "done": 0}
    text = f"{count(len(ids), 'task')} of {total:,} would be {action.participle}; nothing was changed"
    show(data, lambda: print(text), as_json=output == "json")
    return 0


async def _act_on_matches(
    url: str | None, action: TaskAction, selection: Selection, filter: Filter
) -> Applied:
    finished = Applied()
    now = finished
    try:
        async with Inspector(url) as inspector:
            found = await places(inspector, action, selection)
            with progress(action.name, sum(size for _, _, size in found)) as update:
                for queue, state, _ in found:

                    def add(step: Applied) -> None:
                        nonlocal now
                        now = Applied(*(a + b for a, b in zip(finished, step, strict=True)))  # noqa: B023
                        update(now.seen)

                    limit = None if selection.max is None else selection.max - finished.matched
                    await _apply(inspector, action, queue, state, filter, selection.group, limit, add)
                    finished = now
            if finished.done:
                await action.warn(inspector)
        return finished
    except asyncio.CancelledError:
        hint(f"interrupted: {count(now.done, 'task')} {action.participle} so far")
        raise


async def _apply(
    inspector: Inspector,
    action: TaskAction,
    queue: str,
    state: TaskState,
    filter: Filter,
    group: str,
    limit: int | None,
    on_progress: Callable[[Applied], None],
) -> None:
    if action.transition is not None:
        await inspector.apply(
            action.transition, queue, state, filter, group=group, limit=limit, on_progress=on_progress
        )
        return
    seen = Applied()

    def update(now: Applied) -> None:
        nonlocal seen
        seen = now

    search = inspector.search(queue, state, filter, group=group, limit=limit, on_progress=update)
    infos = [info async for info in search]
    done = 0
    on_progress(seen)
    for start in range(0, len(infos), BATCH_SIZE):
        results = await action.apply(inspector, infos[start : start + BATCH_SIZE])
        done += sum(result in (CancelOutcome.DELETED, CancelOutcome.STOPPING) for result in results)
        on_progress(seen._replace(done=done))


def _report(action: TaskAction, applied: Applied, *, as_json: bool) -> int:
    data = {"action": action.name, "dry_run": False, **applied._asdict()}
    text = f"{count(applied.done, 'task')} {action.participle} ({applied.seen:,} examined)"
    show(data, lambda: print(text), as_json=as_json)
    if missed := applied.matched - applied.done:
        reason = "exist in the target queue or have changed state" if action.to else "have changed state"
        hint(f"{count(missed, 'task')} skipped: they {reason}")
        return PARTIAL if applied.done else FAILED
    return 0
