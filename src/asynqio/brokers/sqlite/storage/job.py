"""One step for a database thread, and the caller that waits for its result."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.errors import StoreReplaced

T = TypeVar("T")

log = logging.getLogger("asynqio.sqlite")


class Job(Generic[T]):
    """One step of one caller; with `awaited=False` no caller waits for it.

    The step may run again after a rollback, so it must have no effect outside its transaction but its result.
    """

    __slots__ = ("_claim", "_error", "_future", "_loop", "_result", "begun", "step")

    def __init__(self, step: Callable[[Transaction], T], *, awaited: bool = True) -> None:
        self.step = step
        self.begun = False
        # Acquired once: by the thread, which then runs the step, or by the cancelled caller, so that it never runs.
        self._claim = threading.Lock()
        self._loop = asyncio.get_running_loop() if awaited else None
        self._future: asyncio.Future[T] | None = self._loop.create_future() if self._loop else None
        self._result: T | None = None
        self._error: Exception | None = None

    # --- called on the event loop -----------------------------------------------------------------

    async def answer(self) -> T:
        """The result of the step. If this is cancelled, the step has been done wholly or never will be."""
        assert self._future is not None
        try:
            return await asyncio.shield(self._future)
        except asyncio.CancelledError:
            if not self._claim.acquire(blocking=False):
                await self.finished()
            raise

    @property
    def result(self) -> T | None:
        """The result of a step that was done although its caller was cancelled, else None."""
        future = self._future
        return future.result() if future and future.done() and future.exception() is None else None

    async def finished(self) -> None:
        """Wait until the step has ended. Ignores cancellation: once begun, a step takes milliseconds."""
        assert self._future is not None
        while not self._future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._future])
        self._future.exception()  # marks it as retrieved

    # --- called on the database thread ------------------------------------------------------------

    def begin(self) -> bool:
        """Claim the step; False: its caller was cancelled and the step must not run."""
        self.begun = self.begun or self._claim.acquire(blocking=False)
        return self.begun

    def deliver(self, result: T | None, error: Exception | None) -> None:
        """Pass the outcome to the caller's event loop."""
        self._result, self._error = result, error
        if self._loop is not None:
            # A loop that was closed meanwhile has no waiting caller.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._resolve)
        elif error is not None and not isinstance(error, StoreReplaced):  # reported by the thread
            log.info(
                "a background write failed; it is not retried: %s",
                error,
                extra={"event": "background_write_failed", "error": str(error)},
            )

    def _resolve(self) -> None:
        assert self._future is not None
        if self._future.done():
            return
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._result)  # type: ignore[arg-type]


class BlockingJob(Job[T]):
    """One step of a thread without an event loop, which waits for its result."""

    __slots__ = ("_delivered",)

    def __init__(self, step: Callable[[Transaction], T]) -> None:
        super().__init__(step, awaited=False)
        self._delivered = threading.Lock()
        self._delivered.acquire()

    def wait(self) -> T:
        """Block until the step has ended, and return its result. If the thread is interrupted, by Ctrl-C for example,
        a step that has not begun never runs."""
        try:
            self._delivered.acquire()
        except BaseException:
            self._claim.acquire(blocking=False)
            raise
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def deliver(self, result: T | None, error: Exception | None) -> None:
        """Pass the outcome to the waiting thread."""
        self._result, self._error = result, error
        self._delivered.release()
