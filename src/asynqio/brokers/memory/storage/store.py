"""What the clones of one memory broker share: the queues, the locks around them, and who is there."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable
from typing import TypedDict, Unpack

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.limits import ARCHIVE_AGE, ARCHIVE_LIMIT
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import Signals, Topic
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.core.info import SchedulerInfo, ServerInfo
from asynqio.core.schedules.records import FireEvent
from asynqio.core.task.message import TaskRef

#: Cancellations remembered for servers that have not read them yet.
CANCELLATIONS_KEPT = 10_000


class Archive(TypedDict, total=False):
    """How much an archive keeps: tasks per queue, and seconds."""

    archive_limit: int
    archive_age: float


class MemoryStore:
    """Everything that a memory broker holds. `lock` guards all of it: clones live in several threads."""

    def __init__(
        self, name: str = "", *, archive_limit: int = ARCHIVE_LIMIT, archive_age: float = ARCHIVE_AGE
    ) -> None:
        self.name = name
        self.archive_limit, self.archive_age = archive_limit, archive_age
        self.lock = threading.Lock()
        self.signals = Signals()
        self.queues: dict[str, Queue] = {}
        self.servers: dict[str, tuple[ServerInfo, float]] = {}
        self.schedulers: dict[str, tuple[SchedulerInfo, float]] = {}
        #: What each schedule has put in, newest first.
        self.fires: dict[str, deque[FireEvent]] = {}
        self.cancellations: deque[tuple[int, Cancellation]] = deque(maxlen=CANCELLATIONS_KEPT)
        self.tokens = 0

    def changed(self, refs: Iterable[TaskRef]) -> list[Topic]:
        """The topics of tasks that changed, if anybody follows some: naming them costs more than most changes."""
        return [signals.changed(ref) for ref in refs] if self.signals.watched("changed") else []

    def queue(self, name: str) -> Queue:
        """The queue of this name, made if need be."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(name, self.archive_limit, self.archive_age)
        return queue


_named: weakref.WeakValueDictionary[str, MemoryStore] = weakref.WeakValueDictionary()
_naming = threading.Lock()


def shared_store(name: str, **archive: Unpack[Archive]) -> MemoryStore:
    """The store of `memory://name`: one per process and name, for as long as somebody uses it; how much its archive
    keeps is up to who makes it."""
    with _naming:
        store = _named.get(name)
        if store is None:
            store = _named[name] = MemoryStore(name, **archive)
        return store
