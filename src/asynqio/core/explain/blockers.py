"""What stands between a task that waits and a handler that takes it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

import msgspec

from asynqio.core.info import QueueStats, ServerInfo


class Situation(enum.StrEnum):
    """Why a task is where it is, in a word, for programs."""

    WAITS_FOR_ITS_TIME = "waits-for-its-time"
    WAITS_FOR_ITS_RETRY = "waits-for-its-retry"
    QUEUE_IS_PAUSED = "queue-is-paused"
    TYPE_IS_PAUSED = "type-is-paused"
    NO_SERVER = "no-server"
    NO_HANDLER = "no-handler"
    IN_LINE = "in-line"
    RUNNING = "running"
    WORKER_IS_GONE = "worker-is-gone"
    IN_A_GROUP = "in-a-group"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    NOT_THERE = "not-there"


class Blocker(msgspec.Struct, frozen=True):
    """One thing that is in the way, and what takes it out of the way."""

    situation: Situation
    sentence: str
    remedy: str


def serving(queue: str, servers: Sequence[ServerInfo]) -> list[ServerInfo]:
    """The servers that take tasks from a queue."""
    return [card for card in servers if queue in card.queues and card.status == "active"]


def blockers(
    queue: str, type: str, stats: QueueStats | None, servers: Sequence[ServerInfo], *, type_paused: bool
) -> Iterator[Blocker]:
    """What keeps pending tasks of this type in this queue from being run, the first to be removed first."""
    if stats is not None and stats.paused:
        yield Blocker(
            Situation.QUEUE_IS_PAUSED,
            f"Queue {queue!r} is paused: no server takes tasks from it.",
            f"Resume the queue: `asynqio queue resume {queue}`, or `inspector.resume({queue!r})`.",
        )
    if type_paused:
        yield Blocker(
            Situation.TYPE_IS_PAUSED,
            f"Tasks of type {type!r} in queue {queue!r} are paused: servers put them off.",
            f"Resume the type: `asynqio queue resume {queue} --type {type}`, or "
            f"`inspector.resume_type({queue!r}, {type!r})`.",
        )
    there = serving(queue, servers)
    if not there:
        stopped = [card.id for card in servers if queue in card.queues]
        others = sorted({name for card in servers for name in card.queues})
        if stopped:
            why = f"The servers on queue {queue!r} take nothing new, they are stopping: {', '.join(stopped)}."
        elif others:
            why = f"No server works on queue {queue!r}; those that are there work on {', '.join(others)}."
        else:
            why = f"No server works on queue {queue!r}: none has shown a sign of life lately."
        yield Blocker(
            Situation.NO_SERVER,
            why,
            f"Start a server that has this queue: `asynqio worker MODULE:APP --queues {queue}`.",
        )
    elif all(card.knows(type) is False for card in there):
        yield Blocker(
            Situation.NO_HANDLER,
            f"{_of_them(there, queue)} has a handler for tasks of type {type!r}: "
            f"there are handlers for {_known(there)}.",
            f"Start a server on queue {queue!r} whose app has a handler for {type!r}; is the type spelt right?",
        )


def silent(queue: str, type: str, servers: Sequence[ServerInfo]) -> list[ServerInfo]:
    """The servers on a queue that do not say what they have handlers for, when no other has one for this type."""
    there = serving(queue, servers)
    return [] if any(card.knows(type) for card in there) else [card for card in there if card.types is None]


def _of_them(cards: Sequence[ServerInfo], queue: str) -> str:
    if len(cards) == 1:
        return f"Nobody on queue {queue!r} (one server, {cards[0].id})"
    return f"None of the {len(cards)} servers on queue {queue!r}"


def _known(cards: Sequence[ServerInfo]) -> str:
    known = sorted({type for card in cards for type in card.types or ()})
    shown = ", ".join(known[:10]) or "nothing"
    return f"{shown} and {len(known) - 10} more" if len(known) > 10 else shown
