"""The state shared by the clones of one memory broker."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, TypedDict, Unpack

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.documents import Collection, LogEntry
from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT
from asynqio.brokers.contract.processes import is_task_process, reset_after_fork
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import Signals, Topic
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.brokers.memory.storage.record import Record
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.lifecycle import Lease
from asynqio.core.schedules.firing import FireEvent
from asynqio.core.task.message import TaskRef
from asynqio.errors import QueueNotFound, WrongProcess

#: Cancellations kept for servers that have not read them yet.
CANCELLATIONS_KEPT = 10_000


#: What to do where a memory broker cannot be used.
ADVICE = "use sqlite:// or redis://, or enqueue in the process of the worker"


class Refusal:
    """Takes the place of the lock of a store that must not be used. Raises WrongProcess."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __enter__(self) -> None:
        raise WrongProcess(self._why)

    def __exit__(self, *exc: object) -> None:
        return None


class Archive(TypedDict, total=False):
    """Limits of an archive: tasks per queue, and age in seconds."""

    archive_limit: int
    archive_age: float


class MemoryStore:
    """Everything that a memory broker stores. `lock` guards all of it, because clones run in several threads.

    Methods must be called with the lock held, except `changed`.
    """

    def __init__(
        self, name: str = "", *, archive_limit: int = ARCHIVE_LIMIT, archive_age: float = ARCHIVE_AGE
    ) -> None:
        self.name = name
        self.archive_limit, self.archive_age = archive_limit, archive_age
        #: How many `async with` blocks of its brokers are open.
        self.users = 0
        self.lock: AbstractContextManager[Any] = threading.Lock()
        if is_task_process():
            self.lock = Refusal(
                f"memory://{name} keeps its tasks in one process, and this one runs a task: {ADVICE}"
            )
        reset_after_fork(self)
        self.signals = Signals()
        self.queues: dict[str, Queue] = {}
        self.servers: dict[str, tuple[ServerInfo, float]] = {}
        self.schedulers: dict[str, tuple[SchedulerInfo, float]] = {}
        #: The events of each schedule, newest first.
        self.fires: dict[str, deque[FireEvent]] = {}
        self.collections: dict[str, Collection] = {}
        #: The entries of each log, oldest first.
        self.logs: dict[str, list[LogEntry]] = {}
        self.cancellations: deque[tuple[int, Cancellation]] = deque(maxlen=CANCELLATIONS_KEPT)
        #: The number taken last, for lease tokens and cancellations.
        self.tokens = 0

    def _after_fork(self) -> None:
        """A store in use belongs to the parent: what the child would add, nothing would process."""
        self.lock = threading.Lock()
        if self.users or self.queues or self.servers or self.schedulers:
            self.lock = Refusal(
                f"memory://{self.name} was in use when this process was forked, and is the parent's: {ADVICE}"
            )

    def changed(self, refs: Iterable[TaskRef]) -> list[Topic]:
        """The topics of tasks that changed; empty if no watch follows a task, because building topics costs more
        than most changes."""
        return [signals.changed(ref) for ref in refs] if self.signals.watched("changed") else []

    def queue(self, name: str) -> Queue:
        """The queue of this name, created if it does not exist."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(name, self.archive_limit, self.archive_age)
        return queue

    def existing(self, name: str) -> Queue:
        """The queue of this name. Raises QueueNotFound."""
        queue = self.queues.get(name)
        if queue is None:
            raise QueueNotFound(name)
        return queue

    def known(self, names: Iterable[str]) -> list[Queue]:
        """Those of the named queues that exist."""
        return [self.queues[name] for name in names if name in self.queues]

    def find(self, ref: TaskRef, now: float) -> tuple[Queue | None, Record | None]:
        """The queue and the record of a task; None if it has outlived its retention, swept or not."""
        queue = self.queues.get(ref.queue)
        return queue, queue.find(ref.id, now) if queue else None

    def held(self, lease: Lease) -> Record | None:
        """The record of a leased task; None: the lease is lost."""
        queue = self.queues.get(lease.message.queue)
        record = queue.active.get(lease.message.id) if queue is not None else None
        return record if record is not None and record.token == lease.token else None


_named: weakref.WeakValueDictionary[str, MemoryStore] = weakref.WeakValueDictionary()
_naming = threading.Lock()


def shared_store(name: str, **archive: Unpack[Archive]) -> MemoryStore:
    """The store of `memory://name`: one per process and name, for as long as a broker uses it. The first caller sets
    the limits of its archive."""
    with _naming:
        store = _named.get(name)
        if store is None:
            store = _named[name] = MemoryStore(name, **archive)
        return store
