"""Background tasks of a session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from asynqio.errors import BrokerUnavailable

log = logging.getLogger("asynqio.redis")

T = TypeVar("T")

#: Seconds that a cancelled caller waits until its result is undone, and for which `wait` waits. A Redis that replies
#: needs milliseconds; one that does not must not delay the end of a worker.
TIMEOUT = 1.0


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
        """Await `work`. If the caller is cancelled, `undo` its result as `undo` does."""
        task = asyncio.ensure_future(work)

        async def undo_result() -> None:
            await undo(await task)

        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await self.undo(undo_result())
            raise

    async def undo(self, work: Coroutine[Any, Any, object]) -> None:
        """Undo what a cancelled call did, before its cancellation continues, or in the background if that takes
        longer than `TIMEOUT` seconds."""
        await asyncio.wait([self.spawn(self._undo(work))], timeout=TIMEOUT)

    async def _undo(self, work: Coroutine[Any, Any, object]) -> None:
        try:
            await work
        except (BrokerUnavailable, asyncio.CancelledError) as error:
            why = str(error) or "Redis does not reply"
            log.warning(
                "tasks leased by a cancelled call could not be handed back, their leases will lapse: %s",
                why,
                extra={"event": "hand_back_failed", "error": why},
            )
            if isinstance(error, asyncio.CancelledError):
                raise

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "a background task of the Redis broker failed: %s",
                error,
                exc_info=error,
                extra={"event": "background_failed", "error": str(error)},
            )

    async def wait(self, timeout: float = TIMEOUT) -> None:
        """Wait until no background task is left. After `timeout` seconds, cancel those that are."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        while self._tasks and loop.time() < until:
            await asyncio.wait(self._tasks, timeout=until - loop.time())
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
