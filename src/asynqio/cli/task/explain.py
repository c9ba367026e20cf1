"""Explains tasks: `asynqio explain`."""

from __future__ import annotations

from asynqio import Explanation, Inspector
from asynqio.cli.event_loop import run
from asynqio.cli.exit_status import NOT_FOUND
from asynqio.cli.output.json import show
from asynqio.cli.output.terminal import clean


def explain_task(broker: str | None, id: str, queue: str | None, *, as_json: bool) -> int:
    """Print an explanation for each queue that has a task with this id. Returns the exit status: NOT_FOUND if no
    queue has one; the explanation then lists the possible reasons."""
    found = run(_explain(broker, id, queue))

    def print_text() -> None:
        for number, explanation in enumerate(found):
            if number:
                print()
            for line in explanation.text().splitlines():
                print(clean(line))

    show(found[0] if queue is not None or len(found) == 1 else found, print_text, as_json=as_json)
    return 0 if found[0].state is not None else NOT_FOUND


async def _explain(broker: str | None, id: str, queue: str | None) -> list[Explanation]:
    async with Inspector(broker) as inspector:
        queues = [queue] if queue is not None else await inspector.queues_with(id) or ["default"]
        return [await inspector.explain(id, queue=name) for name in queues]
