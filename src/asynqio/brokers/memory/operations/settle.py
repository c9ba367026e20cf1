"""Settle: move leased tasks to their next state and count the attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from asynqio.brokers.contract import signals
from asynqio.brokers.contract.limits import DAY
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.storage.queue import Queue
from asynqio.brokers.memory.storage.record import Record
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.core.lifecycle import Settlement
from asynqio.core.task.message import TaskState
from asynqio.core.task.unique_locks import freed_by


def settle(store: MemoryStore, now: float, settlements: Sequence[Settlement]) -> list[bool]:
    """See Broker.settle."""
    day = int(now // DAY)
    answers: list[bool] = []
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    topics: set[Topic] = set()
    queues = store.queues
    with store.lock:
        # Building the topics of single tasks costs more than settling them, so it is done only if a watch needs them.
        # Asked under the lock: a watch opened later reads the new states.
        ends_wanted = store.signals.watched("ended")
        changes_wanted = store.signals.watched("changed")
        for settlement in settlements:
            message = settlement.lease.message
            queue = queues.get(message.queue)
            record = queue.active.get(message.id) if queue is not None else None
            if queue is None or record is None or record.token != settlement.lease.token:
                answers.append(False)
                continue
            _settle(queue, record, settlement, now)
            if settlement.processed:
                counted = counts[message.queue]
                counted[0] += 1
                counted[1] += settlement.failed
            if settlement.to is TaskState.PENDING:
                topics.add(signals.pending(message.queue))
            elif settlement.to is TaskState.RETRY:
                topics.add(signals.due(message.queue))
            elif ends_wanted:
                topics.add(signals.ended(message.ref))
            if changes_wanted:
                topics.add(signals.changed(message.ref))
            answers.append(True)
        for name, (processed, failed) in counts.items():
            queues[name].count(day, processed, failed)
    store.signals.publish(topics)
    return answers


def _settle(queue: Queue, record: Record, settlement: Settlement, now: float) -> None:
    message = settlement.message
    del queue.active[message.id]
    if settlement.to is None:
        del queue.records[message.id]
        if message.unique_key:
            queue.unlock(message)
        return
    record.message = message
    record.token, record.owner, record.live = 0, "", None
    if settlement.record is not None:
        record.add_run(settlement.record)
    if settlement.result is not None:
        record.result = settlement.result
    at = now if settlement.to is TaskState.PENDING else settlement.at
    queue.enter(record, settlement.to, at, front=True)
    if message.unique_key and freed_by(message, settlement.to):
        queue.unlock(message)
