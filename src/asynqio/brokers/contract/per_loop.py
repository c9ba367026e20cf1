"""One object per event loop: futures, locks and connections belong to the loop that made them; and its tasks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from asynqio.brokers.contract.processes import is_forked, keep, reset_after_fork
from asynqio.errors import WrongProcess

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes an object at its first use on each event loop. Safe from any thread.

    Objects of closed loops are dropped when the next object is made."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        #: Replaced, never changed, so that `get` needs no lock.
        self._objects: dict[asyncio.AbstractEventLoop, T] = {}
        self._lock = threading.Lock()
        reset_after_fork(self)

    def get(self) -> T:
        """The object of the running event loop. Raises WrongProcess in a child that was forked inside it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if is_forked():
                raise WrongProcess(
                    "there is no event loop in this process, which was forked: start one with asyncio.run(…), or use "
                    "asynqio.sync"
                ) from None
            raise
        found = self._objects.get(loop)
        return self._add(loop) if found is None else found

    def _add(self, loop: asyncio.AbstractEventLoop) -> T:
        made = self._make()
        with self._lock:
            self._objects = {other: it for other, it in self._objects.items() if not other.is_closed()}
            self._objects[loop] = made
        return made

    def discard(self, thing: T) -> None:
        """Forget an object: the next `get` on its loop makes another one."""
        with self._lock:
            self._objects = {loop: it for loop, it in self._objects.items() if it is not thing}

    def clear(self) -> dict[asyncio.AbstractEventLoop, T]:
        """Forget all objects, and return them."""
        with self._lock:
            objects, self._objects = self._objects, {}
        return objects

    def _after_fork(self) -> None:
        keep(self._objects)
        self._objects = {}
        self._lock = threading.Lock()


def loop_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task that runs until its event loop ends.

    It belongs to no caller, so it has an empty context. It is not reported when a loop is closed without the
    cancellation of its tasks: there is nothing to wait for.
    """
    task = asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task
