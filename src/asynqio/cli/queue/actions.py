"""Acts on queues: `asynqio queue pause`, `resume` and `rm`."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio import AsynqioError, Inspector
from asynqio.cli.event_loop import run
from asynqio.cli.output.format import count
from asynqio.cli.output.outcomes import Outcome, report
from asynqio.cli.output.terminal import confirm, hint, progress


def pause_queues(
    url: str | None, names: Sequence[str], types: Sequence[str], *, paused: bool, as_json: bool
) -> int:
    """Pause or resume whole queues, or only `types` of task in them. Returns the exit status."""

    async def work() -> list[Outcome]:
        outcomes = []
        async with Inspector(url) as inspector:
            for name in names:
                for type in types or (None,):
                    try:
                        await inspector.queue(name)
                        changed = await _pause(inspector, name, type, paused)
                    except AsynqioError as error:
                        outcomes.append(Outcome.failed(name, error))
                    else:
                        outcomes.append(_pause_outcome(name, type, paused, changed))
        return outcomes

    return report("queue", run(work()), as_json=as_json)


async def _pause(inspector: Inspector, queue: str, type: str | None, paused: bool) -> bool:
    if type is None:
        return await (inspector.pause(queue) if paused else inspector.resume(queue))
    return await (inspector.pause_type(queue, type) if paused else inspector.resume_type(queue, type))


def _pause_outcome(queue: str, type: str | None, paused: bool, changed: bool) -> Outcome:
    item = f"queue {queue}" if type is None else f"type {type} of queue {queue}"
    if not changed:
        return Outcome(queue, True, "unchanged", f"{item} was {'already' if paused else 'not'} paused")
    state = "paused" if paused else "resumed"
    return Outcome(queue, True, state, f"{item} is {state}")


def remove_queues(url: str | None, names: Sequence[str], *, force: bool, yes: bool, as_json: bool) -> int:
    """Remove queues. Asks for confirmation if that deletes tasks. Returns the exit status."""

    async def count_tasks() -> int:
        async with Inspector(url) as inspector:
            sizes = {stats.queue: stats.size for stats in await inspector.queues()}
        return sum(sizes.get(name, 0) for name in dict.fromkeys(names))

    async def work() -> list[Outcome]:
        outcomes = []
        async with Inspector(url) as inspector:
            for name in names:
                try:
                    with progress(f"removing {name}") as update:
                        await inspector.remove_queue(name, force=force, on_progress=update)
                except AsynqioError as error:
                    outcomes.append(Outcome.failed(name, error))
                else:
                    outcomes.append(Outcome(name, True, "removed", f"queue {name} is removed"))
        return outcomes

    if force and not yes and (tasks := run(count_tasks())):
        confirm(f"Remove {count(len(names), 'queue')} with {count(tasks, 'task')}?", yes=yes)
    outcomes = run(work())
    status = report("queue", outcomes, as_json=as_json)
    if not force and any(outcome.code == "wrong_state" for outcome in outcomes):
        hint("--force also deletes the tasks in the queues")
    return status
