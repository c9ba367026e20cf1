"""Stores the results and progress that running handlers write, in batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any

from asynqio.brokers.contract.broker import Broker
from asynqio.brokers.contract.results import Output
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.attempts.apply_each import apply_each

log = logging.getLogger("asynqio.server")


class PendingWrite:
    """An output on its way to the broker.

    Waiting is optional: `await` it, or call `wait()` in a thread, to be sure that the output is stored.
    True: it is stored. False: the lease was lost and nothing is stored.
    """

    __slots__ = ("_future",)

    def __init__(self, future: Future[bool]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, bool]:
        return asyncio.wrap_future(self._future).__await__()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds. For handlers in threads: in a coroutine it would block the event loop.
        Raises TimeoutError."""
        return self._future.result(timeout)


class OutputWriter:
    """Collects outputs. One call to the broker is in flight at a time and carries all outputs added before it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[Output, Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, output: Output) -> PendingWrite:
        """Queue an output. Safe to call from any thread."""
        future: Future[bool] = Future()
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._take(output, future)
        else:
            self._loop.call_soon_threadsafe(self._take, output, future)
        return PendingWrite(future)

    def _take(self, output: Output, future: Future[bool]) -> None:
        self._queue.append((output, future))
        if self._task is None:
            self._task = self._loop.create_task(self._flush(), name="asynqio outputs")

    async def drain(self) -> None:
        """Wait until each output is stored or has failed."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            answers = await apply_each(self._broker.write_output, [output for output, _ in batch])
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            if errors:
                _log_lost(errors)
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.cancelled():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._task = None


def _log_lost(errors: list[Exception]) -> None:
    error = errors[0]
    log.log(
        logging.WARNING if isinstance(error, BrokerUnavailable) else logging.ERROR,
        "%d results or progress reports were not stored: %s",
        len(errors),
        error,
        extra={"event": "outputs_lost", "count": len(errors), "error": str(error)},
    )
