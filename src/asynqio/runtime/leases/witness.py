"""Whether the holders of leases could have renewed them: the store accepts writes, and has for long enough."""

from __future__ import annotations

from collections.abc import Iterable

from asynqio.brokers.contract.broker import Broker
from asynqio.errors import BrokerError

#: Seconds after the return of the store, or of writes to a queue, in which no server is declared dead: live servers,
#: whose leases may have lapsed meanwhile, reconnect within 5 s.
RETURN_GRACE = 5.0
#: Seconds that a write takes if it waited for the store's return, unless the store is always slow.
SLOW = 0.5
#: Seconds for which an accepted write counts; more than the time by which writes are tried before a lease lapses.
FRESH = 2.5


class Witness:
    """Writes to queues, and remembers since when these writes are accepted.

    Expired leases can be read while writes are refused (too few replicas, a full or read-only store, a locked file).
    A holder needs a moment to reconnect and to renew, so a queue is trusted `patience` seconds after the first
    accepted write, and `RETURN_GRACE` seconds after a refused one.
    """

    def __init__(self, broker: Broker, patience: float) -> None:
        self._broker = broker
        self._patience = patience
        #: By queue: when it was last written to, and from when on its leases may be judged (monotonic time).
        self._checked: dict[str, float] = {}
        self._trusted: dict[str, float] = {}
        self._refused: set[str] = set()
        self._slow = False

    async def check(self, queues: Iterable[str]) -> None:
        """Write to each of these queues."""
        names = list(dict.fromkeys(queues))
        clock = self._broker.clock
        before = clock.monotonic()
        try:
            answers = await self._broker.accepts_writes(names)
        except BrokerError:
            answers = [False] * len(names)
        now = clock.monotonic()
        was_slow, self._slow = self._slow, now - before >= SLOW
        waited = self._slow and not was_slow
        for queue, accepted in zip(names, answers, strict=True):
            if not accepted:
                self.refuse(queue)
            elif waited or queue in self._refused:
                self._refused.discard(queue)
                self._trusted[queue] = now + RETURN_GRACE
            elif now - self._checked.get(queue, now - FRESH) >= FRESH:
                self._trusted[queue] = max(self._trusted.get(queue, 0.0), now + self._patience)
            self._checked[queue] = now

    def forget_others(self, queues: Iterable[str]) -> None:
        """Forget all queues but these."""
        kept = set(queues)
        self._checked = {queue: at for queue, at in self._checked.items() if queue in kept}
        self._trusted = {queue: at for queue, at in self._trusted.items() if queue in kept}
        self._refused &= kept

    def refuse(self, queue: str) -> None:
        """Note that a write to this queue was refused."""
        self._refused.add(queue)
        self._trusted.pop(queue, None)

    def trusts(self, queue: str) -> bool:
        """Whether a lease of this queue that has lapsed was not renewed although it could be."""
        trusted = self._trusted.get(queue)
        return trusted is not None and self._broker.clock.monotonic() >= trusted
