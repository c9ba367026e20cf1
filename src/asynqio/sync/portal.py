"""An event loop in a thread, for code without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, ParamSpec, TypeVar

from asynqio.brokers.contract.processes import keep, reset_after_fork
from asynqio.sync.green import GreenLoop, new_event_loop

P = ParamSpec("P")
T = TypeVar("T")


def refuse_loop() -> None:
    """Raises RuntimeError on a thread that runs an event loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if isinstance(loop, GreenLoop) and not loop.runs_here:
        return
    raise RuntimeError(
        "this thread runs an event loop, and a blocking call would stop it: use the async interface"
    )


class Portal:
    """Runs coroutines on an event loop in its own thread; call it from any thread, until `close`."""

    def __init__(self) -> None:
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="asynqio portal", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        # Here, not in `close`: the thread that closes may have a running loop of its own.
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def call(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function and return its result. Raises RuntimeError on a thread that runs an event loop,
        which the call would block: await the async interface there."""
        refuse_loop()
        future = asyncio.run_coroutine_threadsafe(function(*args, **kwargs), self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an asynchronous generator yields, and close it at the end."""
        try:
            while (item := self.call(_next, source)) is not None:
                yield item[0]
        finally:
            if isinstance(source, AsyncGenerator):
                self.call(source.aclose)

    def close(self) -> None:
        """Stop the loop and its thread. No effect the second time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


class SharedPortal:
    """One portal for all blocking objects of this process, while at least one of them is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: Portal | None = None
        self._users = 0
        reset_after_fork(self)

    def acquire(self) -> Portal:
        """The portal, started for the first user."""
        with self._lock:
            if self._portal is None:
                self._portal = Portal()
            self._users += 1
            return self._portal

    def release(self) -> None:
        """End one use of it; the last one stops it."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            portal, self._portal = self._portal, None
        if portal is not None:
            portal.close()

    def _after_fork(self) -> None:
        """The thread does not exist in the child: start another one at the next use."""
        keep(self._portal)
        self._lock, self._portal, self._users = threading.Lock(), None, 0


PORTAL = SharedPortal()


async def _next(source: AsyncIterator[T]) -> tuple[T] | None:
    """The next item in a tuple; None at the end."""
    async for item in source:
        return (item,)
    return None
