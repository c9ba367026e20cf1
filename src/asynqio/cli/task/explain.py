"""`asynqio explain`: why a task is where it is, in words."""

from __future__ import annotations

from asynqio import Explanation, Inspector
from asynqio.cli.output.terminal import clean, run, show

#: The status when there is no such task: the words about it are printed all the same.
NOT_THERE = 4


def explain(broker: str | None, id: str, queue: str | None, *, as_json: bool) -> int:
    """Print it; the exit status."""
    found: list[Explanation] = run(_look(broker, id, queue))

    def people() -> None:
        for place, explanation in enumerate(found):
            if place:
                print()
            for line in explanation.text().splitlines():
                print(clean(line))

    show(found[0] if queue is not None or len(found) == 1 else found, people, as_json=as_json)
    return 0 if found[0].state is not None else NOT_THERE


async def _look(broker: str | None, id: str, queue: str | None) -> list[Explanation]:
    """One for each queue that has a task of this id, when no queue is named."""
    async with Inspector(broker) as inspector:
        queues = [queue] if queue is not None else await inspector.queues_with(id) or ["default"]
        return [await inspector.explain(id, queue=name) for name in queues]
