"""Uniqueness locks: when a task frees its lock, and what happens to an entry whose lock is held.

The defaults are the rules of Go asynq; the other modes correct B6. Brokers apply the decisions made here. A task
frees a lock only if it still holds it.
"""

from __future__ import annotations

import enum

import msgspec

from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import OnDuplicate, UniqueUntil, unique_key

#: The states of a task that has not started. A member of a claimed group batch no longer counts as waiting.
WAITING = frozenset({TaskState.PENDING, TaskState.SCHEDULED, TaskState.RETRY, TaskState.AGGREGATING})
#: The states of a task that an entry with `replace_finished` replaces.
FINISHED = frozenset({TaskState.COMPLETED, TaskState.ARCHIVED})


class LockConflict(enum.Enum):
    """What happens to an entry whose lock is held."""

    #: The entry is refused as a duplicate.
    REFUSE = enum.auto()
    #: The holder, which waits, is changed (see `changed`).
    CHANGE_HOLDER = enum.auto()
    #: The holder no longer waits: the entry is admitted and takes the lock over.
    TAKE_OVER = enum.auto()


def resolve_conflict(entry: Entry, holder: TaskMessage | None, state: TaskState | None) -> LockConflict:
    """Decide what happens to an entry whose lock is held.

    `holder` is the task that the lock names; None: it was deleted. `state` is its state; None: it is a member of a
    claimed batch. A lock that is not the holder's own (a throttle) can be neither changed nor taken over.
    """
    if entry.replace_finished and holder is not None and holder.id == entry.message.id and state in FINISHED:
        return LockConflict.REFUSE if holder.unique_key != entry.lock else LockConflict.TAKE_OVER
    if entry.on_duplicate is OnDuplicate.REJECT or holder is None or holder.unique_key != entry.lock:
        return LockConflict.REFUSE
    return LockConflict.CHANGE_HOLDER if state in WAITING else LockConflict.TAKE_OVER


def changed(entry: Entry, holder: TaskMessage, state: TaskState) -> tuple[TaskMessage, TaskState]:
    """The message and state of a waiting holder after the change. If the state is SCHEDULED or RETRY, the task is due
    at `entry.process_at`. A task that stays PENDING, or in the same group, keeps its position."""
    if entry.on_duplicate is OnDuplicate.REPLACE:
        return msgspec.structs.replace(entry.message, id=holder.id), entry.state
    if entry.state is TaskState.SCHEDULED:
        return holder, TaskState.RETRY if state is TaskState.RETRY else TaskState.SCHEDULED
    return holder, TaskState.AGGREGATING if holder.group else TaskState.PENDING


def keeps_place(before: TaskMessage, state: TaskState, after: TaskMessage, target: TaskState) -> bool:
    """Whether a changed holder keeps its position."""
    if target is not state:
        return False
    return state is TaskState.PENDING or (state is TaskState.AGGREGATING and before.group == after.group)


def freed_by(message: TaskMessage, to: TaskState | None) -> bool:
    """Whether a task frees its lock when it moves to state `to` (None: it is deleted)."""
    if to is None or to is TaskState.COMPLETED:
        return True
    if to is TaskState.ACTIVE:
        return message.unique_until is UniqueUntil.STARTED
    if to is TaskState.ARCHIVED:
        return message.unique_until is not UniqueUntil.FINISHED
    return False


def moved_key(message: TaskMessage, payload: bytes) -> str:
    """The lock key of a task after a change of its payload (B36): computed again, unless the key is a given text."""
    old = message.unique_key
    if old and old == unique_key(message.queue, message.type, message.payload):
        return unique_key(message.queue, message.type, payload)
    return old


def in_queue(message: TaskMessage, queue: str) -> TaskMessage:
    """The message as stored in another queue. Its lock key contains the name of the queue, so it changes too."""
    key, start = message.unique_key, f"asynq:{{{message.queue}}}:"
    if key.startswith(start):
        key = f"asynq:{{{queue}}}:{key.removeprefix(start)}"
    return msgspec.structs.replace(message, queue=queue, unique_key=key)
