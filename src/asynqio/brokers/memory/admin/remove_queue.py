"""Remove a queue with everything in it."""

from __future__ import annotations

from asynqio.brokers.contract.results import Progress
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.errors import WrongState


def remove_queue(store: MemoryStore, name: str, force: bool, progress: Progress | None) -> None:
    """See Inspection.remove_queue."""
    with store.lock:
        queue = store.existing(name)
        if queue.active:
            raise WrongState(f"queue {name!r} has {len(queue.active)} active tasks: wait, or cancel them")
        if queue.records and not force:
            raise WrongState(f"queue {name!r} holds {len(queue.records)} tasks: remove it with force=True")
        del store.queues[name]
    if progress is not None:
        progress(len(queue.records))
    store.signals.publish_all("ended")
    store.signals.publish_all("changed")
