"""What the clones of one SQLite broker share: the writer, the reader, the ear, and who has them open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from asynqio.brokers.contract.signals import Signals, Topic, Watch
from asynqio.brokers.sqlite.operations.notifications import Listener
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.job import Job
from asynqio.brokers.sqlite.storage.notify import Mailer
from asynqio.brokers.sqlite.storage.statements import QUERIES
from asynqio.brokers.sqlite.storage.thread import Worker
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.clock import Clock
from asynqio.errors import BrokerUnavailable

T = TypeVar("T")


class Session:
    """One database file, as one process sees it. Its threads live while somebody has it open.

    Reading has a thread and a connection of its own, so that counting a million tasks does not hold up
    those who work.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._signals = Signals()
        self._lock = threading.RLock()
        self._users = 0
        self._writer: Worker | None = None
        self._reader: Worker | None = None
        self._listener: Listener | None = None

    async def enter(self) -> None:
        """Open the file, if we are the first. Raises what `connect` does."""
        settings = await self.settings.absolute()
        with self._lock:
            self.settings = settings
            self._users += 1
            if self._writer is None:
                listener = self._listener = Listener(self.settings.path, self._signals, self.post)
                mailer = Mailer(listener, self._signals, os.path.dirname(self.settings.path), self._forget)
                self._writer = Worker(self.settings, self.clock, mailer)
                opened = self._submit(Job(listener.remember))
            else:
                opened = self._submit(Job(_nothing))
        try:
            await opened.answer()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Close the file, if we are the last; what was begun is finished first."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if self._users or self._writer is None or self._listener is None:
                return
            listener, writer, reader = self._listener, self._writer, self._reader
            listener.stop()
            self.post(listener.unregister)
            self._listener = self._writer = self._reader = None
        stopping = [_stop(worker) for worker in (writer, reader) if worker is not None]
        await asyncio.gather(*stopping)
        # Their last act is behind them: this takes no time, and no loop is blocked by joining.
        while writer.is_alive() or (reader and reader.is_alive()) or listener.is_alive():  # noqa: ASYNC110
            await asyncio.sleep(0)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        watch = self._signals.watch(topics)
        listener = self._listener
        if listener is None:
            watch.close()
            raise self._closed()
        listener.ensure()
        return watch

    async def write(
        self, step: Callable[[Transaction], T], *, undo: Callable[[Transaction, T], object] | None = None
    ) -> T:
        """Do this in a transaction. A cancelled caller leaves it done wholly or not at all.

        `undo` is for answers that must not get lost: it is done if the caller was cancelled after the step.
        """
        job = self._submit(Job(step))
        try:
            return await job.answer()
        except asyncio.CancelledError:
            if undo is not None and (lost := job.result):
                await self._submit(Job(lambda at: undo(at, lost))).over()
            raise

    async def read(self, step: Callable[[Transaction], T]) -> T:
        """Look at one state of the file."""
        return await self._submit(Job(step), reading=True).answer()

    def _submit(self, job: Job[T], *, reading: bool = False) -> Job[T]:
        with self._lock:
            if self._writer is None:
                raise self._closed()
            if reading and self._reader is None:
                self._reader = Worker(self.settings, self.clock, None)
            worker = self._reader if reading and self._reader else self._writer
            worker.submit(job)
        return job

    def post(self, step: Callable[[Transaction], object]) -> None:
        """Do this some time, if the file is still open; nobody waits for it. From any thread."""
        writer = self._writer
        if writer is not None:
            writer.submit(Job(step, awaited=False))

    def _forget(self, name: str) -> None:
        self.post(partial(_unlisten, name=name))

    def _closed(self) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"{self.settings.path} is not open: use the broker in `async with broker: ...`"
        )


def _nothing(transaction: Transaction) -> None:
    return None


def _unlisten(transaction: Transaction, name: str) -> None:
    transaction.run(QUERIES.unlisten, name=name)


async def _stop(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def arrive() -> None:
        if not ended.done():
            ended.set_result(None)

    def tell() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(arrive)

    worker.stop(tell)
    await ended
