"""The thread lane: runs plain functions in threads; the event loop awaits them.

A thread cannot be killed. A handler that should stop can poll `current().cancelled`. Until it returns, its slot stays
taken and its lease is kept, so the task cannot run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

from asynqio.core.lifecycle import Aborted
from asynqio.runtime.attempts.attempt import Attempt
from asynqio.runtime.attempts.exits import exit_error


class _Job:
    """One call in a thread."""

    __slots__ = ("_claim", "_future", "args", "attempt", "call", "context", "done", "error", "loop", "value")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, attempt: Attempt | None, call: Callable[..., Any], args: Any
    ) -> None:
        self.loop = loop
        self.attempt = attempt
        self.call = call
        self.args = args
        self.context = contextvars.copy_context()
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self._future: asyncio.Future[None] | None = None
        self._claim = threading.Lock()

    def give_up(self) -> bool:
        """Make sure that it never starts. Returns False if it has started."""
        return self._claim.acquire(blocking=False)

    def perform(self) -> None:
        """In the thread. No effect if it was given up."""
        if not self._claim.acquire(blocking=False):
            return
        if self.attempt is not None:
            self.attempt.thread = threading.get_ident()
        try:
            self.value = self.context.run(self.call, *self.args)
        except (Exception, asyncio.CancelledError) as error:
            self.error = error
        except BaseException as error:
            self.error = exit_error(error)
        if self.attempt is not None:
            self.attempt.thread = None
        try:
            self.loop.call_soon_threadsafe(self._finish)
        except RuntimeError:
            return  # the loop is closed: the server stopped without this thread

    def _finish(self) -> None:
        self.done = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> Any:
        """Return the value, or raise the error. A cancelled wait can be repeated."""
        if not self.done:
            self._future = self.loop.create_future()
            await self._future
        if self.error is not None:
            raise self.error
        return self.value


class Threads:
    """A pool of at most `limit` daemon threads, started on demand."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._count = 0
        self._closed = False

    async def run(self, call: Callable[..., Any], *args: Any, attempt: Attempt | None = None) -> Any:
        """Run `call(*args)` in a thread. If `attempt` is stopped or lost, the wait continues until the call returns,
        unless the whole server stops: its slot is free when its thread is free. A call that has not started never
        starts once its wait has ended."""
        job = _Job(asyncio.get_running_loop(), attempt, call, args)
        self._submit(job)
        try:
            while True:
                try:
                    return await job.wait()
                except asyncio.CancelledError as cancelled:
                    if job.error is cancelled or job.give_up() or attempt is None or self._closed:
                        raise
                    if attempt.finished or (isinstance(attempt.stopped_by, Aborted) and not attempt.lost):
                        raise
        finally:
            job.error = None  # its traceback refers to the job: without a cycle, both are freed at once

    def _submit(self, job: _Job) -> None:
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and self._count < self._limit:
            self._count += 1
            threading.Thread(target=self._work, name=f"asynqio-{self._count}", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job.perform()
            del job
            self._idle.release()

    def close(self) -> None:
        """Start no more calls and let idle threads exit. A busy thread exits when its handler returns."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while (job := self._jobs.get_nowait()) is not None:
                job.give_up()
        for _ in range(self._count):
            self._jobs.put(None)
