"""gevent and eventlet: they patch the standard library, and replace threads by greenlets of one thread."""

from __future__ import annotations

import asyncio
import inspect
import queue
import select
import selectors
import threading
from typing import Any

from asynqio.errors import ConfigError


class GreenLoop(asyncio.SelectorEventLoop):
    """An event loop in a greenlet, while other greenlets of the same thread run."""

    def __init__(self) -> None:
        super().__init__(_GreenSelector())  # type: ignore[arg-type]
        self._greenlet: int | None = None

    def run_forever(self) -> None:
        self._greenlet = threading.get_ident()
        super().run_forever()

    @property
    def runs_here(self) -> bool:
        """Whether this greenlet runs it."""
        return self._greenlet == threading.get_ident()


class _GreenSelector:
    """Lets other greenlets run while the loop waits. asyncio would take its loop for theirs: it is one per thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> Any:
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._selector.select(timeout)
        finally:
            asyncio._set_running_loop(loop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop to run in a new thread. Raises ConfigError if only a part of what it needs is patched."""
    patched = {
        not inspect.isbuiltin(threading.get_ident),
        not inspect.isbuiltin(select.select),
        queue.SimpleQueue.__module__ != "_queue",
    }
    if len(patched) > 1:
        raise ConfigError(
            ["gevent or eventlet patched some of thread, select and queue: let it patch all three, or none"]
        )
    return GreenLoop() if patched == {True} else asyncio.new_event_loop()
