"""The loops that serve some of the queues of a store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random

from asynqio.brokers.contract.broker import Broker
from asynqio.runtime.duties.forwarder import Forwarder
from asynqio.runtime.duties.sweeper import Sweeper
from asynqio.runtime.leases.recoverer import Recoverer
from asynqio.runtime.leases.recovery import Recovery
from asynqio.runtime.service import TIMEOUT, Loop


class Reports:
    """Answers, at most once in `seconds`, that an event may be logged at its level."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def __call__(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class Section:
    """A forwarder, a recoverer and a sweeper for a list of queues, which may change while they run."""

    def __init__(
        self,
        broker: Broker,
        queues: Sequence[str],
        recovery: Recovery,
        random: Random,
        *,
        lease: float,
        reports: Mapping[type, Callable[[], bool]],
    ) -> None:
        """`reports`: by the class of a service, whether to log its errors now."""
        self.queues = tuple(queues)
        self._forwarder = Forwarder(broker, self.queues, random)
        self._recoverer = Recoverer(broker, self.queues, recovery, lease=lease, reports=reports[Recoverer])
        self.sweeper = Sweeper(broker, self.queues)
        services = (self._forwarder, self._recoverer, self.sweeper)
        self._loops = [Loop(service, random, reports[type(service)]) for service in services]

    async def start(self) -> None:
        """Start the loops. Raises what the store raises; then none runs."""
        for loop in self._loops:  # only the forwarder, which is the first, uses the store when it is opened
            await loop.start()

    def serve(self, queues: Sequence[str]) -> None:
        """Serve these queues from now on. Raises what the store raises; then nothing has changed."""
        queues = tuple(queues)
        self._forwarder.serve(queues)
        self._recoverer.serve(queues)
        self.sweeper.serve(queues)
        self.queues = queues

    async def stop(self, timeout: float = TIMEOUT) -> None:
        """Stop the loops; see `Loop.stop`."""
        await asyncio.gather(*(loop.stop(timeout) for loop in self._loops))
