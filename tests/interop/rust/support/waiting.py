"""What a Rust server stores after its handler has ended, for `until`."""

from __future__ import annotations

from asynqio import Inspector, TaskInfo, TaskState
from tests.interop.support.waiting import until


async def left(inspector: Inspector, id: str) -> TaskInfo:
    """Wait until the task is no longer active, and return it."""

    async def changed() -> TaskInfo | None:
        task = await inspector.find(id)
        return task if task.state is not TaskState.ACTIVE else None

    task: TaskInfo = await until(f"task {id!r} is no longer active", changed)
    return task


async def empty(inspector: Inspector) -> bool:
    """Whether the default queue holds no task."""
    return (await inspector.queue("default")).size == 0


async def processed(inspector: Inspector, attempts: int) -> bool:
    """Whether this number of attempts has ended."""
    return (await inspector.queue("default")).processed == attempts
