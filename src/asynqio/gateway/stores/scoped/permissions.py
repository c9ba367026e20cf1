"""Which action each method of a store needs, in one table, and the checks of a call against an access."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from asynqio.core.access.actions import Action
from asynqio.core.access.grants import Access
from asynqio.core.lifecycle import Action as Operation
from asynqio.core.task.message import TaskMessage, TaskRef
from asynqio.errors import AccessDenied
from asynqio.runtime.duties.canceller import PROBE

#: The action that each method of `Broker` and `Inspection` needs, one of them if there are several; none: every
#: principal may call it. Methods that are not coroutines and touch no task are left out: `clock`, `url`, `clone` …
NEEDS: dict[str, tuple[Action, ...]] = {
    "ping": (),
    "watch": (Action.READ_EVENTS,),
    "check": (Action.ENQUEUE,),
    "enqueue": (Action.ENQUEUE,),
    #: There is none within a scope: threads call `enqueue`.
    "producer": (),
    "dequeue": (Action.CLAIM,),
    "renew": (Action.CLAIM,),
    "renew_owner": (Action.CLAIM,),
    "settle": (Action.CLAIM,),
    "write_output": (Action.CLAIM,),
    "attempts": (Action.READ,),
    "paused_types": (Action.READ, Action.CLAIM),
    "forward": (Action.CLAIM,),
    "expired": (Action.CLAIM,),
    "accepts_writes": (Action.CLAIM,),
    "sweep": (Action.CLAIM,),
    "claim_groups": (Action.CLAIM,),
    "renew_batches": (Action.CLAIM,),
    "merge_group": (Action.CLAIM,),
    "delete_batch": (Action.CLAIM,),
    "return_batch": (Action.CLAIM,),
    "register_schedules": (Action.WRITE_SCHEDULES,),
    #: ENQUEUE as well, for the entry.
    "fire": (Action.WRITE_SCHEDULES,),
    "record": (Action.WRITE_SCHEDULES, Action.RUN_SCHEDULES),
    "prune_schedules": (Action.WRITE_SCHEDULES,),
    #: A server needs the first, a scheduler the second.
    "beat": (Action.CLAIM, Action.WRITE_SCHEDULES),
    "leave": (Action.CLAIM, Action.WRITE_SCHEDULES),
    "cancel": (Action.CANCEL,),
    "cancellations": (Action.CLAIM,),
    # inspection
    "queues": (Action.READ,),
    "stats": (Action.READ,),
    "memory_usage": (Action.READ,),
    "history": (Action.READ,),
    "groups": (Action.READ,),
    "group_names": (Action.READ,),
    "tasks": (Action.READ,),
    "scan": (Action.READ,),
    "find": (Action.READ,),
    "lock_holder": (Action.READ,),
    #: See OPERATIONS.
    "move": (Action.RUN, Action.ARCHIVE, Action.DELETE),
    "move_all": (Action.RUN, Action.ARCHIVE, Action.DELETE),
    #: ENQUEUE as well, in the target.
    "transfer": (Action.EDIT,),
    "rewrite": (Action.EDIT,),
    "flush_group": (Action.RUN,),
    "pause": (Action.PAUSE,),
    "pause_type": (Action.PAUSE,),
    "remove_queue": (Action.DELETE_QUEUE,),
    "servers": (Action.READ_SERVERS,),
    "schedulers": (Action.READ_SCHEDULES,),
    "schedule_states": (Action.READ_SCHEDULES,),
    "pause_schedule": (Action.RUN_SCHEDULES, Action.WRITE_SCHEDULES),
    "fires": (Action.READ_SCHEDULES,),
    # the store itself, and what gateways keep in it: never within a tenant
    "collection": (Action.MANAGE_TENANTS,),
    "put_document": (Action.MANAGE_TENANTS,),
    "append_log": (Action.MANAGE_TENANTS,),
    "read_log": (Action.MANAGE_TENANTS,),
    "nodes": (Action.MANAGE_TENANTS,),
    "examine": (Action.MANAGE_TENANTS,),
}
#: The action that an operation on tasks needs.
OPERATIONS = {
    Operation.RUN: (Action.RUN,),
    Operation.ARCHIVE: (Action.ARCHIVE,),
    Operation.DELETE: (Action.DELETE,),
}

#: Queue and type of an item of a call; no type: any; None: the item does not exist.
Kind: TypeAlias = tuple[str, str | None] | None


class Guard:
    """Checks calls of the methods of a store before they are sent. Every check raises AccessDenied.

    Queues are given by the names that the principal knows.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        #: Whether nothing needs to be checked, the store itself excepted.
        self.open = access.everything

    def anywhere(self, method: str) -> None:
        """The method on at least one queue."""
        self.somewhere(NEEDS[method])

    def somewhere(self, actions: Sequence[Action]) -> None:
        """Actions on at least one queue."""
        self._require(actions, None, None)

    def queues(self, method: str, queues: Iterable[str]) -> None:
        """The method on all of these queues, for at least one type."""
        if not self.open:
            for queue in queues:
                self._require(NEEDS[method], queue, None)

    def whole(self, actions: Sequence[Action], queue: str) -> None:
        """Actions that concern all tasks of a queue, whatever their type."""
        if not self.open and not any(self.access.allows_every_type(action, queue) for action in actions):
            raise AccessDenied(actions[0], queue, "*")

    def items(self, actions: Sequence[Action], kinds: Iterable[Kind]) -> None:
        """Actions on several items. The error names the first item that is not permitted."""
        if self.open:
            return
        for at, kind in enumerate(kinds):
            if kind is not None and not self.may(actions, *kind):
                raise AccessDenied(actions[0], *kind).as_item(at)

    def message(self, method: str, message: TaskMessage) -> None:
        """The method on the task of this message."""
        self._require(NEEDS[method], message.queue, message.type)

    def messages(self, method: str, messages: Iterable[TaskMessage]) -> None:
        """The method on the tasks of these messages."""
        if not self.open:
            self.items(NEEDS[method], ((message.queue, message.type) for message in messages))

    def may(self, actions: Sequence[Action], queue: str | None, type: str | None) -> bool:
        """Whether one of the actions is permitted."""
        return self.open or any(self.access.allows(action, queue, type) for action in actions)

    def depends_on_type(self, actions: Sequence[Action], queues: Iterable[str]) -> bool:
        """Whether the types of tasks of these queues must be known to decide about the actions."""
        return not self.open and not all(
            any(self.access.allows_every_type(action, queue) for action in actions) for queue in set(queues)
        )

    def cancellation(self, queue: str) -> bool:
        """Whether the principal, as a server, receives the cancellations of a queue."""
        return self.may(NEEDS["cancellations"], None if queue == PROBE else queue, None)

    def is_probe(self, ref: TaskRef) -> bool:
        """Whether this is the task, which does not exist, whose cancellation a server sends to itself as a test."""
        return ref.queue == PROBE and self.may(NEEDS["cancellations"], None, None)

    def manages(self, actions: Sequence[Action]) -> bool:
        """Whether one of these actions on the gateway itself is permitted."""
        return any(self.access.allows(action) for action in actions)

    def _require(self, actions: Sequence[Action], queue: str | None, type: str | None) -> None:
        if not self.may(actions, queue, type):
            raise AccessDenied(actions[0], queue, type)
