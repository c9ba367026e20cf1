"""A step to be done by a worker's thread, and the caller who waits for it on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from asynqio.brokers.sqlite.storage.transaction import Transaction

T = TypeVar("T")

log = logging.getLogger("asynqio.sqlite")


class Job(Generic[T]):
    """One step of one caller, or of nobody (`awaited=False`).

    The step may be done again after a rollback, so it must leave nothing behind but its answer.
    """

    __slots__ = ("_claim", "_error", "_future", "_loop", "_result", "begun", "step")

    def __init__(self, step: Callable[[Transaction], T], *, awaited: bool = True) -> None:
        self.step = step
        self.begun = False
        # Whoever gets it first: the worker, who then does the step, or the caller, who then gives it up.
        self._claim = threading.Lock()
        self._loop = asyncio.get_running_loop() if awaited else None
        self._future: asyncio.Future[T] | None = self._loop.create_future() if self._loop else None
        self._result: T | None = None
        self._error: Exception | None = None

    # --- the caller's side ------------------------------------------------------------------------

    async def answer(self) -> T:
        """What came of it. When this is cancelled, the step was done wholly or never will be."""
        assert self._future is not None
        try:
            return await asyncio.shield(self._future)
        except asyncio.CancelledError:
            if not self._claim.acquire(blocking=False):
                await self.over()
            raise

    @property
    def result(self) -> T | None:
        """The answer of a step that was done, though its caller was cancelled; else None."""
        future = self._future
        return future.result() if future and future.done() and future.exception() is None else None

    async def over(self) -> None:
        """Until the step is over. Nothing interrupts this, and once it has begun it takes milliseconds."""
        assert self._future is not None
        while not self._future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._future])
        self._future.exception()  # it was looked at; nobody else will

    # --- the worker's side ------------------------------------------------------------------------

    def begin(self) -> bool:
        """Whether the step is to be done; False: its caller gave up."""
        self.begun = self.begun or self._claim.acquire(blocking=False)
        return self.begun

    def deliver(self, result: T | None, error: Exception | None) -> None:
        """Hand the answer to the caller's loop."""
        self._result, self._error = result, error
        if self._loop is not None:
            # A loop that was closed meanwhile has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._arrive)
        elif error is not None:
            log.info("left undone, nobody waits for it: %s", error)

    def _arrive(self) -> None:
        assert self._future is not None
        if self._future.done():
            return
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._result)  # type: ignore[arg-type]
