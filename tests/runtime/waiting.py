"""Waits for what a server does, by signals, with a limit that only a broken build reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asynqio import App, TaskInfo, TaskState
from asynqio.brokers.contract.signals import due, ended, pending
from asynqio.core.task.message import TaskRef

T = TypeVar("T")

#: Seconds after which a waiting test fails.
LIMIT = 20.0


async def within(awaitable: Awaitable[T]) -> T:
    """Await with a limit."""
    async with asyncio.timeout(LIMIT):
        return await awaitable


async def state_of(app: App, info: TaskInfo, *states: TaskState) -> TaskInfo:
    """Wait until the task is in one of the states."""
    ref = TaskRef(info.queue, info.id)

    def reached(found: TaskInfo | None) -> bool:
        return found is not None and found.state in states

    found = await _until(app, ref, reached)
    assert found is not None
    return found


async def gone(app: App, info: TaskInfo) -> None:
    """Wait until the task is deleted."""
    await _until(app, TaskRef(info.queue, info.id), lambda found: found is None)


async def _until(app: App, ref: TaskRef, reached: Callable[[TaskInfo | None], bool]) -> TaskInfo | None:
    async with asyncio.timeout(LIMIT):
        with app.broker.watch([ended(ref), due(ref.queue), pending(ref.queue)]) as watch:
            while True:
                [found] = await app.broker.find([ref])
                if reached(found):
                    return found
                await watch.wait(0.2)
