"""Builders of values with defaults, so that a test names only what matters."""

from __future__ import annotations

import hashlib
from typing import Any

from asynqio.core.info import ServerInfo
from asynqio.core.lifecycle import DONE, Aborted, Failed, Lease, Outcome, Policy, Settlement, decide
from asynqio.core.retry import FixedRetry
from asynqio.core.task.ids import new_id
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.task import Entry
from asynqio.core.task.unique import OnDuplicate, UniqueUntil, unique_key
from asynqio.errors import LeaseExpired, SkipRetry
from asynqio.testing.clock import START

#: Retries are delayed by exactly one minute.
POLICY = Policy(retry=FixedRetry(60.0))


def message(id: str = "", type: str = "email:send", **fields: Any) -> TaskMessage:
    """A task message with a new id unless one is given."""
    return TaskMessage(id or new_id(START), type, **fields)


def entry(
    id: str = "",
    *,
    type: str = "email:send",
    queue: str = "default",
    payload: bytes | None = b'{"to":"ann"}',
    at: float = 0.0,
    group: str = "",
    unique: float = 0.0,
    until: str = "finished",
    by: bytes | None = None,
    on_duplicate: str = "reject",
    replace_finished: bool = False,
    **fields: Any,
) -> Entry:
    """A task to enqueue: SCHEDULED if `at` is given, AGGREGATING in a `group`, else PENDING."""
    key = unique_key(queue, type, payload if by is None else by) if unique else ""
    throttle = ""
    if until == "expired":
        key, throttle, until = "", key, "finished"
    stored = message(
        id,
        type,
        queue=queue,
        payload=payload,
        group=group,
        unique_key=key,
        unique_until=UniqueUntil(until),
        **fields,
    )
    state = TaskState.SCHEDULED if at else TaskState.AGGREGATING if group else TaskState.PENDING
    return Entry(stored, state, at, unique, throttle, OnDuplicate(on_duplicate), replace_finished)


def lease(id: str = "", *, expires_at: float = START + 30.0, token: Any = 1, **fields: Any) -> Lease:
    """A lease that no broker issued."""
    return Lease(message(id, **fields), expires_at, token)


def settlement(
    held: Lease, outcome: Outcome = DONE, now: float = START, policy: Policy = POLICY
) -> Settlement:
    """The settlement by `decide`; by default the handler succeeded."""
    return decide(held, outcome, now, policy)


def failed(held: Lease, now: float, error: BaseException | None = None) -> Settlement:
    """The handler raised: the task is retried after a minute."""
    return settlement(held, Failed(error or ValueError("no")), now)


def archived(held: Lease, now: float) -> Settlement:
    """The handler raised SkipRetry: the task is archived."""
    return settlement(held, Failed(SkipRetry("hopeless")), now)


def abandoned(held: Lease, now: float) -> Settlement:
    """The lease expired: the task is pending again."""
    return settlement(held, Failed(LeaseExpired()), now)


def aborted(held: Lease, now: float) -> Settlement:
    """The server stopped: the task is pending again."""
    return settlement(held, Aborted(), now)


def server_info(id: str = "server-1", **fields: Any) -> ServerInfo:
    """The info of a server."""
    facts: dict[str, Any] = {"host": "host", "pid": 1, "started_at": START, "queues": {"default": 1}}
    return ServerInfo(id=id, **{**facts, **fields})


def long_traceback(frames: int, error: str) -> str:
    """A traceback of frames that have little in common."""
    digests = [hashlib.md5(str(number).encode()).hexdigest() for number in range(frames)]
    lines = [
        f'  File "/srv/shop/{digest[:9]}.py", line {number}, in {digest[9:20]}\n    return {digest[20:]}(order)\n'
        for number, digest in enumerate(digests)
    ]
    return f"Traceback (most recent call last):\n{''.join(lines)}{error}\n"
