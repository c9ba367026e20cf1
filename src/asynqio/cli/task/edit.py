"""Replaces payloads: `asynqio task edit`."""

from __future__ import annotations

from pathlib import Path

from asynqio import AsynqioError, Inspector
from asynqio.cli.event_loop import run
from asynqio.cli.output.outcomes import Outcome, report
from asynqio.cli.output.terminal import Refused
from asynqio.cli.task.locate import locate
from asynqio.cli.task.payload import read_payload


def edit_task(
    url: str | None, queue: str | None, id: str, text: str | None, file: Path | None, *, as_json: bool
) -> int:
    """Replace the payload of a task. Returns the exit status. Raises Refused."""
    payload = read_payload(text, file)
    if payload is None:
        raise Refused("give the new payload: --payload TEXT or --payload-file FILE")
    return report("id", run(_edit(url, queue, id, payload)), as_json=as_json)


async def _edit(url: str | None, queue: str | None, id: str, payload: bytes) -> list[Outcome]:
    async with Inspector(url) as inspector:
        found, outcomes = await locate(inspector, queue, [id])
        for info in found:
            try:
                await inspector.rewrite(info, payload)
            except AsynqioError as error:
                outcomes.append(Outcome.failed(id, error))
            else:
                outcomes.append(Outcome(id, True, "done", f"task {id} has a new payload"))
    return outcomes
