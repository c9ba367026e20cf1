"""Uniqueness locks: when a task's own lock is freed, and what becomes of an entry that meets a held one.

Go's rules (spec: redis wire format, section 5.3) are the defaults; the others correct B6. Brokers only carry out what
is said here; a lock is always freed only "if this task still holds it".
"""

from __future__ import annotations

import enum

import msgspec

from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import OnDuplicate, UniqueUntil, unique_key

#: A task that was not begun. A member of a claimed group batch does not wait any more.
WAITING = frozenset({TaskState.PENDING, TaskState.SCHEDULED, TaskState.RETRY, TaskState.AGGREGATING})
#: A task that `replace_finished` may take the place of.
FINISHED = frozenset({TaskState.COMPLETED, TaskState.ARCHIVED})


class Meeting(enum.Enum):
    """What becomes of an entry whose lock somebody holds."""

    #: DUPLICATE.
    REFUSED = enum.auto()
    #: The holder, which waits, is changed (see `changed`).
    CHANGES = enum.auto()
    #: The holder does not wait any more: the entry is taken in behind it, and holds the lock from now on.
    TAKES_OVER = enum.auto()


def meet(entry: Entry, holder: TaskMessage | None, state: TaskState | None) -> Meeting:
    """`holder` is the task whose id the lock names (None: it is gone), `state` where it waits, or is.

    A lock that is not the holder's own (a throttle) is nobody's to change or to take over.
    """
    if entry.replace_finished and holder is not None and holder.id == entry.message.id and state in FINISHED:
        return Meeting.REFUSED if holder.unique_key != entry.lock else Meeting.TAKES_OVER
    if entry.on_duplicate is OnDuplicate.REJECT or holder is None or holder.unique_key != entry.lock:
        return Meeting.REFUSED
    return Meeting.CHANGES if state in WAITING else Meeting.TAKES_OVER


def changed(entry: Entry, holder: TaskMessage, state: TaskState) -> tuple[TaskMessage, TaskState]:
    """What a waiting holder becomes, and where it waits from now on: until `entry.process_at` if that is SCHEDULED
    or RETRY. Who stays PENDING, or in the same group, keeps its place."""
    if entry.on_duplicate is OnDuplicate.REPLACE:
        return msgspec.structs.replace(entry.message, id=holder.id), entry.state
    if entry.state is TaskState.SCHEDULED:
        return holder, TaskState.RETRY if state is TaskState.RETRY else TaskState.SCHEDULED
    return holder, TaskState.AGGREGATING if holder.group else TaskState.PENDING


def keeps_place(before: TaskMessage, state: TaskState, after: TaskMessage, target: TaskState) -> bool:
    """Whether a changed holder stays where it is."""
    if target is not state:
        return False
    return state is TaskState.PENDING or (state is TaskState.AGGREGATING and before.group == after.group)


def freed_by(message: TaskMessage, to: TaskState | None) -> bool:
    """Whether a task frees its lock by going to `to` (None: it is gone)."""
    if to is None or to is TaskState.COMPLETED:
        return True
    if to is TaskState.ACTIVE:
        return message.unique_until is UniqueUntil.STARTED
    if to is TaskState.ARCHIVED:
        return message.unique_until is not UniqueUntil.FINISHED
    return False


def moved_key(message: TaskMessage, payload: bytes) -> str:
    """The lock of a task that gets another payload (B36): it moves along, unless it is by a text."""
    old = message.unique_key
    if old and old == unique_key(message.queue, message.type, message.payload):
        return unique_key(message.queue, message.type, payload)
    return old


def in_queue(message: TaskMessage, queue: str) -> TaskMessage:
    """The same task as it is stored in another queue: the keys of locks begin with the name of the queue."""
    key, start = message.unique_key, f"asynq:{{{message.queue}}}:"
    if key.startswith(start):
        key = f"asynq:{{{queue}}}:{key.removeprefix(start)}"
    return msgspec.structs.replace(message, queue=queue, unique_key=key)
