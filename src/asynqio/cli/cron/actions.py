"""Acts on schedules: `asynqio cron run`, `pause`, `resume` and `reset`."""

from __future__ import annotations

from asynqio import Inspector
from asynqio.cli.event_loop import run
from asynqio.cli.output.json import show
from asynqio.cli.output.table import print_fields


def run_schedule(broker: str | None, id: str, *, as_json: bool) -> None:
    """Enqueue the task of a schedule. Raises NotFound."""

    async def work() -> dict[str, object]:
        async with Inspector(broker) as inspector:
            info = await inspector.trigger(id)
        return {"schedule": id, "task": info.id, "queue": info.queue, "type": info.type, "state": info.state}

    data = run(work())
    show(data, lambda: print_fields(list(data.items())), as_json=as_json)


def pause_schedule(broker: str | None, id: str, *, as_json: bool) -> None:
    """Raises NotFound."""

    async def work() -> bool:
        async with Inspector(broker) as inspector:
            return await inspector.pause_schedule(id)

    changed = run(work())
    text = f"schedule {id} is paused" if changed else f"schedule {id} was already paused"
    show({"schedule": id, "paused": True, "changed": changed}, lambda: print(text), as_json=as_json)


def resume_schedule(broker: str | None, id: str, *, as_json: bool) -> None:
    """Raises NotFound."""

    async def work() -> bool:
        async with Inspector(broker) as inspector:
            return await inspector.resume_schedule(id)

    changed = run(work())
    text = f"schedule {id} is resumed" if changed else f"schedule {id} was not paused"
    show({"schedule": id, "paused": False, "changed": changed}, lambda: print(text), as_json=as_json)


def reset_schedule(broker: str | None, id: str, *, as_json: bool) -> None:
    """Clear the stored state of a schedule. Raises NotFound."""

    async def work() -> None:
        async with Inspector(broker) as inspector:
            await inspector.reset_schedule(id)

    run(work())
    show({"schedule": id, "reset": True}, lambda: print(f"schedule {id} is reset"), as_json=as_json)
