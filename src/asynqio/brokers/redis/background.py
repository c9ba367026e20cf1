"""Background tasks of a session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from asynqio.errors import BrokerUnavailable

log = logging.getLogger("asynqio.redis")

T = TypeVar("T")


class Background:
    """Keeps references to running tasks, logs their failures, and waits for them at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` in the background until it ends; `wait` waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def run_or_undo(self, work: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[object]]) -> T:
        """Await `work`. If the caller is cancelled, `undo` its result before the cancellation continues."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.shield(self.spawn(self._undo(task, undo)))
            raise

    async def _undo(self, task: asyncio.Future[T], undo: Callable[[T], Awaitable[object]]) -> None:
        try:
            result = await task
            await undo(result)
        except BrokerUnavailable as error:
            log.warning(
                "tasks leased by a cancelled call could not be handed back, their leases will lapse: %s",
                error,
                extra={"event": "hand_back_failed", "error": str(error)},
            )

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "a background task of the Redis broker failed: %s",
                error,
                exc_info=error,
                extra={"event": "background_failed", "error": str(error)},
            )

    async def wait(self) -> None:
        """Wait until no background task is left."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
