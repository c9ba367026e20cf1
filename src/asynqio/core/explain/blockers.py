"""The reasons why a waiting task does not run. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from asynqio.core.groups import match
from asynqio.core.info import QueueStats, ServerInfo

#: Most task types named in a sentence.
SHOWN_TYPES = 10


class Situation(enum.StrEnum):
    """Why a task is in its state, as a stable identifier."""

    SCHEDULED = "scheduled"
    WAITING_FOR_RETRY = "waiting-for-retry"
    QUEUE_PAUSED = "queue-paused"
    TYPE_PAUSED = "type-paused"
    NO_SERVER = "no-server"
    NO_HANDLER = "no-handler"
    WAITING_FOR_SLOT = "waiting-for-slot"
    RUNNING = "running"
    WORKER_LOST = "worker-lost"
    IN_GROUP = "in-group"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    NOT_FOUND = "not-found"


class Blocker(msgspec.Struct, frozen=True):
    """One reason why a task does not run, and how to remove it."""

    situation: Situation
    sentence: str
    remedy: str


def serving(queue: str, servers: Sequence[ServerInfo]) -> list[ServerInfo]:
    """The servers that dequeue from a queue."""
    return [server for server in servers if queue in server.queues and server.status == "active"]


def blockers(
    queue: str, type: str, stats: QueueStats | None, servers: Sequence[ServerInfo], *, type_paused: bool
) -> Iterator[Blocker]:
    """The reasons why pending tasks of this type in this queue do not run, in the order in which to remove them."""
    if stats is not None and stats.paused:
        yield Blocker(
            Situation.QUEUE_PAUSED,
            f"Queue {queue!r} is paused: servers do not dequeue from it.",
            f"Resume the queue: `asynqio queue resume {queue}` or `inspector.resume({queue!r})`.",
        )
    if type_paused:
        yield Blocker(
            Situation.TYPE_PAUSED,
            f"Type {type!r} is paused in queue {queue!r}: servers defer its tasks.",
            f"Resume the type: `asynqio queue resume {queue} --type {type}` or "
            f"`inspector.resume_type({queue!r}, {type!r})`.",
        )
    active = serving(queue, servers)
    if not active:
        yield Blocker(
            Situation.NO_SERVER,
            _why_no_server(queue, servers),
            f"Start a server for this queue: `asynqio worker MODULE:APP --queues {queue}`.",
        )
    elif all(server.knows(type) is False for server in active):
        yield Blocker(
            Situation.NO_HANDLER,
            f"{_none_of(active, queue)} has a handler for type {type!r}. Handled types: {_types(active)}.",
            f"Start a server on queue {queue!r} whose app has a handler for {type!r}, or correct the type.",
        )


def unaggregated(queue: str, groups: Iterable[str], servers: Sequence[ServerInfo]) -> list[str]:
    """The groups that no server on a queue aggregates, if there is a server and all report their rules."""
    active = serving(queue, servers)
    if not active or any(server.types is None for server in active):
        return []
    patterns = {pattern for server in active for pattern in server.group_rules}
    return [group for group in groups if match(patterns, group) is None]


def silent(queue: str, type: str, servers: Sequence[ServerInfo]) -> list[ServerInfo]:
    """The servers on a queue that do not report their types, unless another one reports a handler for this type."""
    active = serving(queue, servers)
    if any(server.knows(type) for server in active):
        return []
    return [server for server in active if server.types is None]


def _why_no_server(queue: str, servers: Sequence[ServerInfo]) -> str:
    stopping = [server.id for server in servers if queue in server.queues]
    others = sorted({name for server in servers for name in server.queues})
    if stopping:
        return f"All servers on queue {queue!r} are stopping: {', '.join(stopping)}."
    if others:
        return f"No server serves queue {queue!r}. Running servers serve {', '.join(others)}."
    return f"No server serves queue {queue!r}: no server is running."


def _none_of(servers: Sequence[ServerInfo], queue: str) -> str:
    if len(servers) == 1:
        return f"No server on queue {queue!r} (only {servers[0].id})"
    return f"None of the {len(servers)} servers on queue {queue!r}"


def _types(servers: Sequence[ServerInfo]) -> str:
    known = sorted({type for server in servers for type in server.types or ()})
    shown = ", ".join(known[:SHOWN_TYPES]) or "none"
    return f"{shown} and {len(known) - SHOWN_TYPES} more" if len(known) > SHOWN_TYPES else shown
