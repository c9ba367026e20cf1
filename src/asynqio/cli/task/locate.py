"""Which queue a task is in, when only its id was given."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio import Inspector, TaskInfo
from asynqio.cli.output.results import Outcome
from asynqio.cli.output.terminal import Refused

#: Ids looked for at once.
BATCH_SIZE = 500


async def locate(
    inspector: Inspector, queue: str | None, ids: Sequence[str]
) -> tuple[list[TaskInfo], list[Outcome]]:
    """The tasks that are there, and what to say of the others. Raises Refused for an id that two queues have,
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
                        f"queues {found[info.id].queue!r} and {name!r} both have a task {info.id!r}: "
                        "say which with --queue"
                    )
                found[info.id] = info
    place = f"queue {queue!r}" if queue is not None else "any queue"
    missing = [
        Outcome(id, False, "not_found", f"there is no task {id!r} in {place}")
        for id in dict.fromkeys(ids)
        if id not in found
    ]
    return [found[id] for id in dict.fromkeys(ids) if id in found], missing
