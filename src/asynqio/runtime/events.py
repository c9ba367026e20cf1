"""What happened in a worker server, as values, and who wants to know.

Nobody listening is the ordinary case: the runtime then makes no event at all, and the only cost is to look
whether `listeners` is empty. Every task, lease and attempt is named by its message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from asynqio.core.attempts.outcome import Ending
from asynqio.core.task.message import TaskMessage, TaskState

log = logging.getLogger("asynqio.server")


class AttemptEnded(msgspec.Struct, frozen=True, gc=False):
    """An attempt is over and the broker has answered: what it says is so. Times are seconds since the epoch."""

    #: The task as the attempt found it.
    message: TaskMessage
    ending: Ending
    started_at: float
    ended_at: float
    #: Since when it had been waiting; 0: not known.
    pending_since: float = 0.0


class LeaseReturned(msgspec.Struct, frozen=True, gc=False):
    """A task that was taken is not started here: handed back (ABORTED) or put off (DEFERRED)."""

    message: TaskMessage
    ending: Ending


class LeaseLost(msgspec.Struct, frozen=True, gc=False):
    """A lease could not be renewed: somebody else has the task, and its handler is told to stop."""

    message: TaskMessage


class TaskRecovered(msgspec.Struct, frozen=True, gc=False):
    """A dead server's task goes on; `to` is what became of it (PENDING, or ARCHIVED as poison)."""

    message: TaskMessage
    to: TaskState | None


class HandlerStuck(msgspec.Struct, frozen=True, gc=False):
    """A handler was told to stop `seconds` ago and is still there. Reported again as that doubles."""

    message: TaskMessage
    seconds: float


class LoopBlocked(msgspec.Struct, frozen=True, gc=False):
    """The event loop has not run for so many seconds, and still does not."""

    seconds: float


class LoopFreed(msgspec.Struct, frozen=True, gc=False):
    """It runs again, after so many seconds."""

    seconds: float


Event: TypeAlias = (
    AttemptEnded | LeaseReturned | LeaseLost | TaskRecovered | HandlerStuck | LoopBlocked | LoopFreed
)
#: Called where it happens: on the server's event loop, but for HandlerStuck, LoopBlocked and LoopFreed, which
#: come from the thread that watches the loop. Must return at once.
Listener: TypeAlias = Callable[[Event], None]


class ServerStats(msgspec.Struct, frozen=True):
    """How a server is now, as it says itself."""

    #: Its id, as on its card.
    server: str
    #: Attempts that may run at the same time, and that do.
    slots: int
    busy: int
    #: Those of them that were told to stop, and did not.
    stuck: int
    #: Attempts that ended and are not settled yet.
    unsettled: int
    #: Seconds since its card was last shown to the others.
    heartbeat_age: float


class Events:
    """Tells every listener of every event. `publish` only if there are `listeners`."""

    __slots__ = ("listeners",)

    def __init__(self) -> None:
        self.listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have it told of everything from now on; calling what this returns ends that."""
        self.listeners = (*self.listeners, listener)

        def stop() -> None:
            self.listeners = tuple(other for other in self.listeners if other is not listener)

        return stop

    def publish(self, event: Event) -> None:
        """A listener that fails is logged, and costs neither the task nor other listeners anything."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed on %s", type(event).__name__)
