"""Which task types are paused: clients get no tasks of these types."""

from __future__ import annotations

import asyncio

from asynqio.brokers.contract.broker import Store
from asynqio.clock import Clock

#: Seconds for which what was read about a queue is used. A pause takes effect within them.
MAX_AGE = 1.0
#: Queues about which something is kept.
KEPT = 10_000


class PausedTypes:
    """Reads the paused types of a queue when a task of it is about to be handed out: queues from which nobody takes
    tasks cost nothing. For one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._clock: Clock = store.clock
        #: By queue: when it was read (monotonic time), and since when each type is paused.
        self._known: dict[str, tuple[float, dict[str, float]]] = {}
        self._reading: dict[str, asyncio.Task[dict[str, float]]] = {}

    async def since(self, queue: str, type: str) -> float | None:
        """Since when (epoch seconds) the type is paused in the queue; None: it is not. Raises BrokerError."""
        known = self._known.get(queue)
        if known is not None and self._clock.monotonic() - known[0] < MAX_AGE:
            return known[1].get(type)
        task = self._reading.get(queue)
        if task is None:
            task = self._reading[queue] = asyncio.create_task(self._read(queue))
            task.add_done_callback(lambda _: self._reading.pop(queue, None))
        return (await asyncio.shield(task)).get(type)

    async def _read(self, queue: str) -> dict[str, float]:
        at = self._clock.monotonic()
        found = (await self._store.paused_types([queue])).get(queue, {})
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[queue] = at, found
        return found
