"""Results and progress that running handlers leave: stored in batches, from coroutines and threads alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Output
from asynqio.errors import BrokerUnavailable

log = logging.getLogger("asynqio.server")


class PendingWrite:
    """A note on its way to the broker. Nobody has to wait: `await` it, or call `wait()` in a thread, to be
    sure that it is stored. True: stored; False: the lease is lost."""

    __slots__ = ("_future",)

    def __init__(self, future: Future[bool]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, bool]:
        return asyncio.wrap_future(self._future).__await__()

    def wait(self, timeout: float | None = None) -> bool:
        """For handlers in threads; in a coroutine it would block the event loop."""
        return self._future.result(timeout)


class OutputWriter:
    """Collects notes; one call to the broker at a time carries everything that came meanwhile."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[Output, Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, note: Output) -> PendingWrite:
        """From any thread."""
        future: Future[bool] = Future()
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._take(note, future)
        else:
            self._loop.call_soon_threadsafe(self._take, note, future)
        return PendingWrite(future)

    def _take(self, note: Output, future: Future[bool]) -> None:
        self._queue.append((note, future))
        if self._task is None:
            self._task = self._loop.create_task(self._flush(), name="asynqio notes")

    async def drain(self) -> None:
        """Until everything that was added is stored (or could not be)."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                answers = await self._broker.write_output([note for note, _ in batch])
            except Exception as error:
                log.log(
                    logging.WARNING if isinstance(error, BrokerUnavailable) else logging.ERROR,
                    "%d results or progress reports were not stored: %s",
                    len(batch),
                    error,
                )
                for _, future in batch:
                    if not future.cancelled():
                        future.set_exception(error)
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.cancelled():
                        future.set_result(answer)
        self._task = None
