"""Waiting for what neither side tells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.interop.support.ours import OurInspector
from tests.interop.support.peers import GoInspector
from tests.interop.support.views import GoTask

#: Seconds after which what does not come is a failure, and between two looks.
TIMEOUT = 30.0
GLANCE = 0.01


async def until(what: str, true: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for something that sends no signal, and give what it is."""
    try:
        async with asyncio.timeout(TIMEOUT):
            while not (found := await true()):  # noqa: ASYNC110 - nobody could set an event
                await asyncio.sleep(GLANCE)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {TIMEOUT:.0f} s: {what}") from None


async def settled(inspector: GoInspector | OurInspector, id: str, queue: str = "default") -> GoTask:
    """The task when it is no longer active: a server says that a handler has ended before that is written down."""

    async def left() -> GoTask | None:
        task = await inspector.task(queue, id)
        return task if task.state != "active" else None

    task: GoTask = await until(f"task {id!r} is settled", left)
    return task
