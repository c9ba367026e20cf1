"""What happens in a worker server, as values for listeners.

Without listeners the runtime creates no event; the only cost is a look at `listeners`. Events name tasks, leases and
attempts by the message of the task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from asynqio.core.attempts.ending import Ending
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.runtime.attempts.exits import is_from_signal

log = logging.getLogger("asynqio.server")


class AttemptEnded(msgspec.Struct, frozen=True, gc=False):
    """An attempt ended and the broker has answered, so `ending` is final. Times are seconds since the epoch."""

    #: The task as the attempt found it.
    message: TaskMessage
    ending: Ending
    started_at: float
    ended_at: float
    #: When it became pending; 0: unknown.
    pending_since: float = 0.0


class LeaseReturned(msgspec.Struct, frozen=True, gc=False):
    """A fetched task was not started: returned (ABORTED) or deferred (DEFERRED)."""

    message: TaskMessage
    ending: Ending


class LeaseLost(msgspec.Struct, frozen=True, gc=False):
    """A lease could not be renewed: another server has the task, and the handler here is asked to stop."""

    message: TaskMessage


class TaskRecovered(msgspec.Struct, frozen=True, gc=False):
    """The task of a dead server was recovered; `to` is its new state (PENDING, or ARCHIVED as poison)."""

    message: TaskMessage
    to: TaskState | None


class HandlerStuck(msgspec.Struct, frozen=True, gc=False):
    """A handler was asked to stop `seconds` ago and still runs. Repeated each time that doubles."""

    message: TaskMessage
    seconds: float


class LoopBlocked(msgspec.Struct, frozen=True, gc=False):
    """The event loop has been blocked for `seconds`."""

    seconds: float


class LoopFreed(msgspec.Struct, frozen=True, gc=False):
    """The event loop runs again, after `seconds`."""

    seconds: float


Event: TypeAlias = (
    AttemptEnded | LeaseReturned | LeaseLost | TaskRecovered | HandlerStuck | LoopBlocked | LoopFreed
)
#: Called on the server's event loop, except for HandlerStuck, LoopBlocked and LoopFreed, which come from the thread
#: that watches the loop. Must return at once.
Listener: TypeAlias = Callable[[Event], None]


class ServerStats(msgspec.Struct, frozen=True):
    """The state of a server now."""

    #: Its id, as in ServerInfo.
    server: str
    #: Attempts that may run at the same time, and attempts that run.
    slots: int
    busy: int
    #: Of those, attempts that were asked to stop and did not.
    stuck: int
    #: Ended attempts that are not settled yet.
    unsettled: int
    #: Seconds since the server last published its ServerInfo.
    heartbeat_age: float


class Events:
    """Passes every event to every listener. Call `publish` only if there are `listeners`."""

    __slots__ = ("listeners",)

    def __init__(self) -> None:
        self.listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Add a listener. Call the returned function to remove it."""
        self.listeners = (*self.listeners, listener)

        def stop() -> None:
            self.listeners = tuple(other for other in self.listeners if other is not listener)

        return stop

    def publish(self, event: Event) -> None:
        """Call each listener. What a listener raises is logged and affects neither the task nor other listeners."""
        for listener in self.listeners:
            try:
                listener(event)
            except BaseException as error:
                if is_from_signal(error):
                    raise
                name = type(event).__name__
                log.exception(
                    "a listener failed on %s",
                    name,
                    extra={"event": "listener_failed", "listened_to": name, "error": str(error)},
                )
