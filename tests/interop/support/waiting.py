"""Polls for conditions without a signal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.interop.support.ours import OurInspector
from tests.interop.support.peers import GoInspector
from tests.interop.support.views import GoTask

#: Timeout and polling interval in seconds.
TIMEOUT = 30.0
GLANCE = 0.01


async def until(what: str, true: Callable[[], Awaitable[Any]]) -> Any:
    """Poll until `true` returns a true value, and return it."""
    try:
        async with asyncio.timeout(TIMEOUT):
            while not (found := await true()):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(GLANCE)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {TIMEOUT:.0f} s: {what}") from None


async def settled(inspector: GoInspector | OurInspector, id: str, queue: str = "default") -> GoTask:
    """Wait until the task is no longer active: a server reports the end of a handler before it is stored."""

    async def left() -> GoTask | None:
        task = await inspector.task(queue, id)
        return task if task.state != "active" else None

    task: GoTask = await until(f"task {id!r} is settled", left)
    return task
