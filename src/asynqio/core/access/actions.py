"""The actions that a principal may be permitted."""

from __future__ import annotations

import enum


class Action(enum.StrEnum):
    """What a principal does. Most actions concern a queue and a task type; those that manage the gateway concern
    neither."""

    __hash__ = str.__hash__  # that of Enum is a function in Python, five times slower

    #: Enqueue and schedule tasks, add them to groups; jobs of REST as well.
    ENQUEUE = "task:enqueue"
    #: Work on tasks as a server: dequeue, extend leases, settle, write output, claim and merge groups.
    CLAIM = "task:claim"
    #: Read tasks, queues and groups, without payloads and results.
    READ = "task:read"
    #: Read payloads.
    READ_PAYLOAD = "payload:read"
    #: Read results and progress.
    READ_RESULT = "result:read"
    #: Make waiting or finished tasks pending: run, retry, reschedule, flush a group.
    RUN = "task:run"
    #: Archive tasks.
    ARCHIVE = "task:archive"
    #: Cancel running tasks.
    CANCEL = "task:cancel"
    #: Delete tasks, one or many.
    DELETE = "task:delete"
    #: Change the payload or the options of a task, or transfer it to another queue.
    EDIT = "task:edit"
    #: Pause and resume queues and task types, and change their limits.
    PAUSE = "queue:pause"
    #: Remove a queue with its tasks.
    DELETE_QUEUE = "queue:delete"
    #: Read schedules and their events.
    READ_SCHEDULES = "schedule:read"
    #: Create, change, delete and fire schedules as a scheduler.
    WRITE_SCHEDULES = "schedule:write"
    #: Run a schedule now, pause and resume it.
    RUN_SCHEDULES = "schedule:run"
    #: Read the running servers and schedulers.
    READ_SERVERS = "server:read"
    #: Stop or pause a server.
    CONTROL_SERVERS = "server:control"
    #: Receive live events.
    READ_EVENTS = "event:read"
    #: Read metrics.
    READ_METRICS = "metrics:read"
    #: Read the audit log.
    READ_AUDIT = "audit:read"
    #: Manage users.
    MANAGE_USERS = "user:manage"
    #: Manage API tokens.
    MANAGE_TOKENS = "token:manage"
    #: Manage encryption and signing keys.
    MANAGE_KEYS = "key:manage"
    #: Manage tenants.
    MANAGE_TENANTS = "tenant:manage"


#: Actions on the gateway itself, never on the tasks of a tenant.
MANAGEMENT = frozenset(
    {
        Action.READ_METRICS,
        Action.READ_AUDIT,
        Action.MANAGE_USERS,
        Action.MANAGE_TOKENS,
        Action.MANAGE_KEYS,
        Action.MANAGE_TENANTS,
    }
)
