"""Roles: named sets of actions."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from asynqio.core.access.actions import Action
from asynqio.core.access.grants import Grant


class Role(enum.StrEnum):
    """What a user, token or tenant is for. What a role does not include can be added by a Grant."""

    #: Enqueues tasks, and reads those of its queues and types with their payloads and results: a store does not know
    #: who enqueued a task. It cannot cancel them.
    PRODUCER = "producer"
    #: Runs tasks as a server. Enqueueing follow-up tasks takes another grant. A server may always register itself.
    WORKER = "worker"
    #: Reads everything except payloads and results.
    VIEWER = "viewer"
    #: A viewer who runs, archives and cancels tasks, pauses queues and controls servers.
    OPERATOR = "operator"
    #: Everything except running tasks as a server.
    ADMIN = "admin"
    #: Reads metrics only.
    MONITOR = "monitor"


_VIEWER = frozenset({Action.READ, Action.READ_SCHEDULES, Action.READ_SERVERS, Action.READ_EVENTS})

ACTIONS: dict[Role, frozenset[Action]] = {
    Role.PRODUCER: frozenset(
        {Action.ENQUEUE, Action.READ, Action.READ_PAYLOAD, Action.READ_RESULT, Action.READ_EVENTS}
    ),
    Role.WORKER: frozenset(
        {Action.CLAIM, Action.READ, Action.READ_PAYLOAD, Action.READ_RESULT, Action.READ_EVENTS}
    ),
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _VIEWER
    | {
        Action.RUN,
        Action.ARCHIVE,
        Action.CANCEL,
        Action.PAUSE,
        Action.RUN_SCHEDULES,
        Action.CONTROL_SERVERS,
    },
    Role.ADMIN: frozenset(Action) - {Action.CLAIM},
    Role.MONITOR: frozenset({Action.READ_METRICS}),
}


def grants_of(role: Role, queues: Sequence[str] = ("*",), types: Sequence[str] = ("*",)) -> tuple[Grant, ...]:
    """The grants of a role on the queues and task types that match these patterns."""
    return (Grant(ACTIONS[role], tuple(queues), tuple(types)),)
