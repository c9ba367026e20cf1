"""Finds tasks by id, in one queue or in all queues."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio import Inspector, TaskInfo
from asynqio.cli.output.outcomes import Outcome
from asynqio.cli.output.terminal import Refused

#: Ids per call of the broker.
BATCH_SIZE = 500


async def locate(
    inspector: Inspector, queue: str | None, ids: Sequence[str]
) -> tuple[list[TaskInfo], list[Outcome]]:
    """The tasks that exist, and an outcome for each id that does not. Raises Refused if two queues have the same id,
    QueueNotFound."""
    if queue is not None:
        await inspector.queue(queue)
    queues = [queue] if queue is not None else [stats.queue for stats in await inspector.queues()]
    found: dict[str, TaskInfo] = {}
    for name in queues:
        for start in range(0, len(ids), BATCH_SIZE):
            for info in await inspector.find_many(ids[start : start + BATCH_SIZE], queue=name):
                if info is None:
                    continue
                if info.id in found and found[info.id].queue != name:
                    raise Refused(
                        f"queues {found[info.id].queue!r} and {name!r} both have a task {info.id!r}; "
                        "choose one with --queue"
                    )
                found[info.id] = info
    place = f"queue {queue!r}" if queue is not None else "any queue"
    unique = list(dict.fromkeys(ids))
    missing = [
        Outcome(id, False, "not_found", f"there is no task {id!r} in {place}")
        for id in unique
        if id not in found
    ]
    return [found[id] for id in unique if id in found], missing
