"""The names of a tenant: how its queues, locks, servers and schedules are called in the store, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import TracebackType
from typing import TypeVar

import msgspec

from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.results import Output
from asynqio.brokers.contract.signals import Topic
from asynqio.core.access.scope import Scope
from asynqio.core.attempts.record import AttemptRecord
from asynqio.core.groups import GroupBatch
from asynqio.core.lifecycle import Lease, Settlement
from asynqio.core.task.message import TaskMessage, TaskRef
from asynqio.core.task.task import Entry
from asynqio.errors import InvalidTask

M = TypeVar("M", bound=TaskMessage)

_replace = msgspec.structs.replace


class Names:
    """Translates values between the names of a tenant ("shown") and those in the store ("stored").

    As a context manager it translates the errors of the block: texts and attributes name shown queues.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.prefix = scope.prefix
        #: What the ids of the tenant's servers and schedulers begin with. Ids of others begin with a host name, which
        #: contains no "/".
        self._marker = f"/{scope.prefix}:" if scope.prefix else ""
        self._in_text = re.compile(rf"(?<![\w.:-]){re.escape(scope.prefix)}:") if scope.prefix else None

    # --- queues and tasks -------------------------------------------------------------------------

    def stored(self, name: str) -> str:
        """The name of a queue or schedule of the tenant in the store."""
        return self.scope.stored(name)

    def shown(self, name: str) -> str:
        """The name by which the tenant knows a queue or schedule of its own."""
        return self.scope.shown(name)

    def owns(self, name: str) -> bool:
        """Whether a queue or schedule of the store is the tenant's."""
        return self.scope.owns(name)

    def owned(self, queues: Iterable[str]) -> list[str]:
        """The queues of the tenant among those of the store, as shown."""
        return [self.scope.shown(queue) for queue in queues if self.scope.owns(queue)]

    def stored_all(self, queues: Iterable[str]) -> list[str]:
        return [self.scope.stored(queue) for queue in queues]

    def stored_refs(self, refs: Iterable[TaskRef]) -> list[TaskRef]:
        return [TaskRef(self.scope.stored(ref.queue), ref.id) for ref in refs]

    def stored_where(self, where: Where) -> Where:
        return Where(self.scope.stored(where.queue), where.state, where.group)

    def stored_topic(self, topic: Topic) -> Topic:
        kind, queue, *id = topic
        return (kind, self.scope.stored(queue), *id)

    # --- locks ------------------------------------------------------------------------------------

    def stored_key(self, queue: str, key: str) -> str:
        """The key of a lock of this queue; empty for any other key."""
        start = _lock_start(queue)
        return _lock_start(self.scope.stored(queue)) + key[len(start) :] if key.startswith(start) else ""

    def stored_lock(self, message: TaskMessage, key: str) -> str:
        """The key of the lock of a task. Raises InvalidTask if it is not one of its queue and type: it could be the
        lock of any other task."""
        start = f"{_lock_start(message.queue)}{message.type}:"
        if not key.startswith(start):
            raise InvalidTask(
                f"the lock {key!r} does not belong to queue {message.queue!r} and type {message.type!r}: "
                f"it must begin with {start!r}"
            )
        return self.stored_key(message.queue, key)

    # --- messages ---------------------------------------------------------------------------------

    def stored_message(self, message: TaskMessage) -> TaskMessage:
        """Raises InvalidTask for a lock of another queue."""
        key = message.unique_key and self.stored_lock(message, message.unique_key)
        return _replace(message, queue=self.scope.stored(message.queue), unique_key=key)

    def shown_message(self, message: M) -> M:
        """A message or a snapshot. A lock that does not belong to its queue and type is not shown."""
        key, queue = message.unique_key, self.scope.shown(message.queue)
        if key:
            start = _lock_start(message.queue)
            own = key.startswith(f"{start}{message.type}:")
            key = _lock_start(queue) + key[len(start) :] if own else ""
        return _replace(message, queue=queue, unique_key=key)

    def stored_entry(self, entry: Entry) -> Entry:
        message = self.stored_message(entry.message)
        if not entry.throttle:
            return _replace(entry, message=message)
        return _replace(entry, message=message, throttle=self.stored_lock(entry.message, entry.throttle))

    # --- leases -----------------------------------------------------------------------------------

    def stored_lease(self, lease: Lease) -> Lease:
        return _replace(lease, message=self.stored_message(lease.message))

    def shown_lease(self, lease: Lease) -> Lease:
        return _replace(lease, message=self.shown_message(lease.message))

    def stored_settlement(self, settlement: Settlement) -> Settlement:
        """Raises InvalidTask if it would turn the leased task into another one."""
        lease, message = settlement.lease, settlement.message
        held = self.stored_lease(lease)
        if message is lease.message:
            after = held.message
        elif message.ref != lease.message.ref or message.type != lease.message.type:
            raise InvalidTask(
                f"a settlement cannot change the queue, id or type of task {lease.message.id!r}"
            )
        else:
            after = self.stored_message(message)
        return _replace(settlement, lease=held, message=after, record=self.stored_record(settlement.record))

    def stored_output(self, output: Output) -> Output:
        return _replace(output, lease=self.stored_lease(output.lease), live=self.stored_record(output.live))

    def stored_batch(self, batch: GroupBatch) -> GroupBatch:
        """Raises InvalidTask if a message is not of the queue of the batch."""
        if any(message.queue != batch.queue for message in batch.messages):
            raise InvalidTask(f"a batch of queue {batch.queue!r} cannot have members of other queues")
        messages = [self.stored_message(message) for message in batch.messages]
        return _replace(batch, queue=self.scope.stored(batch.queue), messages=messages)

    def shown_batch(self, batch: GroupBatch) -> GroupBatch:
        messages = [self.shown_message(message) for message in batch.messages]
        return _replace(batch, queue=self.scope.shown(batch.queue), messages=messages)

    # --- servers, schedulers, schedules -----------------------------------------------------------

    def stored_server(self, id: str) -> str:
        """The id of a server or scheduler of the tenant."""
        return self._marker + id

    def shown_server(self, id: str) -> str:
        return id.removeprefix(self._marker)

    def owns_server(self, id: str) -> bool:
        """Whether this is a server or scheduler of the tenant."""
        return id.startswith(self._marker)

    def stored_record(self, record: AttemptRecord | None) -> AttemptRecord | None:
        if record is None or not record.worker or not self._marker:
            return record
        return _replace(record, worker=self._marker + record.worker)

    def shown_record(self, record: AttemptRecord) -> AttemptRecord:
        if not record.worker.startswith(self._marker) or not self._marker:
            return record
        return _replace(record, worker=record.worker.removeprefix(self._marker))

    # --- errors -----------------------------------------------------------------------------------

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or self._in_text is None:
            return
        error.args = tuple(self._in_text.sub("", arg) if isinstance(arg, str) else arg for arg in error.args)
        queue = getattr(error, "queue", None)
        if isinstance(queue, str) and self.scope.owns(queue):
            error.queue = self.scope.shown(queue)  # type: ignore[attr-defined]


def _lock_start(queue: str) -> str:
    """What the keys of the locks of a queue begin with; see `unique_key`."""
    return f"asynq:{{{queue}}}:unique:"
