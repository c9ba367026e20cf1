"""What the clones of one SQLite broker share: the writer, the reader, the listener, and a count of users."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from asynqio.brokers.contract.processes import keep, reset_after_fork
from asynqio.brokers.contract.signals import Signals, Topic, Watch
from asynqio.brokers.sqlite.operations.notifications import Listener
from asynqio.brokers.sqlite.settings import Settings
from asynqio.brokers.sqlite.storage.files_at_fork import open_at_fork
from asynqio.brokers.sqlite.storage.job import BlockingJob, Job
from asynqio.brokers.sqlite.storage.notify import Notifier
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.thread import DatabaseThread
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.clock import Clock
from asynqio.errors import BrokerError, BrokerUnavailable

T = TypeVar("T")
J = TypeVar("J", bound=Job[Any])


class Session:
    """One database file in one process. Its threads run while at least one broker has it open.

    Reads have their own thread and connection, so that counting a million tasks does not delay the writers.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._signals = Signals()
        self._lock = threading.RLock()
        self._users = 0
        self._writer: DatabaseThread | None = None
        self._reader: DatabaseThread | None = None
        self._listener: Listener | None = None
        #: Whether the file was open when this process was forked.
        self._inherited = False
        reset_after_fork(self)

    async def enter(self) -> None:
        """Open the file for the first user. Raises the errors of `connect`."""
        settings = await self.settings.absolute()
        with self._lock:
            self.settings = settings
            self._users += 1
            if self._writer is None:
                listener = self._listener = Listener(self.settings.path, self._signals, self.post)
                directory = os.path.dirname(self.settings.path)
                notifier = Notifier(listener, self._signals, directory, self._unlisten)
                self._writer = DatabaseThread(self.settings, self.clock, notifier)
                opened = self._submit(Job(listener.remember))
            else:
                opened = self._submit(Job(_nothing))
        try:
            await opened.answer()
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Close the file after the last user, when all submitted jobs are done."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if self._users or self._writer is None or self._listener is None:
                return
            listener, writer, reader = self._listener, self._writer, self._reader
            listener.stop()
            self.post(listener.unregister)
            self._listener = self._writer = self._reader = None
        stopping = [_stop(thread) for thread in (writer, reader) if thread is not None]
        await asyncio.gather(*stopping)
        # The threads have done all their work and end at once; polling avoids a join that blocks the event loop.
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
        """Run a step in a transaction. If the caller is cancelled, the step was done wholly or never will be.

        `undo` runs if the caller was cancelled after the step, for results that must not get lost.
        """
        job = self._submit(Job(step))
        try:
            return await job.answer()
        except asyncio.CancelledError:
            if undo is not None and (lost := job.result):
                await self._submit(Job(lambda transaction: undo(transaction, lost))).finished()
            raise

    def write_blocking(self, step: Callable[[Transaction], T]) -> T:
        """Run a step in a transaction, for a thread without an event loop."""
        return self._submit(BlockingJob(step)).wait()

    async def read(self, step: Callable[[Transaction], T]) -> T:
        """Run a step that only reads, on one snapshot of the file."""
        return await self._submit(Job(step), reading=True).answer()

    def _submit(self, job: J, *, reading: bool = False) -> J:
        with self._lock:
            if self._writer is None:
                raise self._closed()
            if reading and self._reader is None:
                self._reader = DatabaseThread(self.settings, self.clock, None, self._writer)
            thread = self._reader if reading and self._reader else self._writer
            thread.submit(job)
        return job

    def post(self, step: Callable[[Transaction], object]) -> None:
        """Queue a write without waiting for it; ignored if the file is closed. Callable from any thread."""
        writer = self._writer
        if writer is not None:
            writer.submit(Job(step, awaited=False))

    def _unlisten(self, name: str) -> None:
        self.post(partial(_remove_listener, name=name))

    def _after_fork(self) -> None:
        """Forget the parent's threads and connections, without closing these."""
        self._lock = threading.RLock()
        if self._users:
            keep(self._writer, self._reader, self._listener, self._signals)
            self._writer = self._reader = self._listener = None
            self._signals = Signals()
            self._users, self._inherited = 0, True

    def _closed(self) -> BrokerError:
        if self._inherited:
            return open_at_fork(self.settings.path)
        return BrokerUnavailable(
            f"{self.settings.path} is not open: use the broker in `async with broker: ...`"
        )


def _nothing(transaction: Transaction) -> None:
    return None


def _remove_listener(transaction: Transaction, name: str) -> None:
    transaction.run(SQL.unlisten, name=name)


async def _stop(thread: DatabaseThread) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        if not ended.done():
            ended.set_result(None)

    def on_end() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(resolve)

    thread.stop(on_end)
    await ended
