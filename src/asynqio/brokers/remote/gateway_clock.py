"""The clock of the gateway's store, and the round trip to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from asynqio.brokers.contract.results import Claimed, Expired, Forwarded, Swept
from asynqio.brokers.remote.connection.reconnecting import ReconnectingConnection
from asynqio.brokers.remote.wire.operations import OF_SESSION
from asynqio.clock import Clock
from asynqio.core.groups import GroupBatch
from asynqio.core.lifecycle import Lease

#: Answers to one of these have a time to wait until.
Timed = TypeVar("Timed", Forwarded, Swept)

#: Seconds between two measurements.
INTERVAL = 10.0
#: A difference below this many seconds counts as none: it is not worth the risk of a wrong measurement.
TOLERANCE = 0.1
#: A measurement that took longer, in seconds, is not used.
MAX_ROUND_TRIP = 1.0


class GatewayClock:
    """Converts times of the gateway to those of this machine: leases must be renewed in time by either clock."""

    def __init__(self, clock: Clock, connection: ReconnectingConnection) -> None:
        self._clock = clock
        self._connection = connection
        #: The clock of the gateway minus this one, in seconds.
        self.skew = 0.0

    async def measure(self) -> float:
        """Measure the skew; returns the seconds that it took. Raises BrokerUnavailable."""
        started = self._clock.monotonic()
        theirs = await self._connection.send(OF_SESSION["time"], ()).answer
        elapsed = self._clock.monotonic() - started
        if elapsed <= MAX_ROUND_TRIP:
            skew = theirs - (self._clock.now() - elapsed / 2)
            self.skew = 0.0 if abs(skew) <= max(TOLERANCE, elapsed) else skew
        return elapsed

    def leases(self, leases: list[Lease]) -> list[Lease]:
        """Convert leases, in place."""
        if self.skew:
            for lease in leases:
                lease.expires_at -= self.skew
                lease.pending_since -= self.skew if lease.pending_since else 0.0
        return leases

    def renew(self, leases: Sequence[Lease], until: Sequence[float | None]) -> list[bool]:
        """Write the new expiry to leases that were renewed; returns which were."""
        for lease, expires_at in zip(leases, until, strict=True):
            if expires_at is not None:
                lease.expires_at = expires_at - self.skew
        return [expires_at is not None for expires_at in until]

    def at(self, answer: Timed) -> Timed:
        """Convert `next_at`."""
        if not self.skew or answer.next_at is None:
            return answer
        return answer._replace(next_at=answer.next_at - self.skew)

    def expired(self, expired: Expired) -> Expired:
        """Convert the answer to `expired`."""
        if not self.skew:
            return expired
        next_at = None if expired.next_at is None else expired.next_at - self.skew
        return Expired(self.leases(expired.leases), next_at)

    def claimed(self, claimed: Claimed) -> Claimed:
        """Convert the answer to `claim_groups`."""
        if not self.skew:
            return claimed
        next_at = None if claimed.next_at is None else claimed.next_at - self.skew
        return Claimed([self._batch(batch) for batch in claimed.batches], next_at)

    def _batch(self, batch: GroupBatch) -> GroupBatch:
        return msgspec.structs.replace(batch, expires_at=batch.expires_at - self.skew)
