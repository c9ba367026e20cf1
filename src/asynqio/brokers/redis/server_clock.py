"""The clocks of the Redis servers, by which leases end: machines whose own clocks differ agree on one."""

from __future__ import annotations

import logging
from typing import NamedTuple

from asynqio.brokers.redis.background import Background
from asynqio.brokers.redis.connection.client import RedisClient
from asynqio.brokers.redis.connection.errors import RedisError, is_missing_command
from asynqio.clock import Clock, SystemClock
from asynqio.errors import BrokerError

log = logging.getLogger("asynqio.redis")

#: Seconds after which a known skew is measured again: clocks drift by a few milliseconds in this time.
MAX_AGE = 60.0
#: Difference in seconds between two measurements that counts as a jump of a clock.
JUMP = 1.0
#: The fraction of a lease above which a skew is logged.
LOG_ABOVE = 0.1
#: Seconds of a lease until one is known.
DEFAULT_LEASE = 30.0


class _Measured(NamedTuple):
    #: The clock of the server minus the clock of this machine, in seconds.
    skew: float
    #: The wall clock of this machine minus its monotonic clock: changes when the wall clock is set.
    offset: float
    #: Monotonic time of the measurement.
    at: float


class ServerClock:
    """Measures how far the clocks of the masters are from the clock of this machine.

    `TIME` is asked at the first use, then in the background while the clock is used, and again before the next use
    when the wall clock of this machine was set. A broker with a clock that does not run with this machine, such as a
    `FakeClock`, uses that clock alone: the skew is 0.
    """

    def __init__(self, clock: Clock, redis: RedisClient, background: Background) -> None:
        self._clock = clock
        self._redis = redis
        self._background = background
        self._simulated = abs(clock.monotonic() - SystemClock.monotonic()) > JUMP
        self._known: dict[str, _Measured] = {}
        self._measuring: set[str] = set()
        #: When the clock of a server was seen to jump (monotonic time).
        self._jumped_at: dict[str, float] = {}
        self._longest_lease = DEFAULT_LEASE
        self._logged = False

    async def skew(self, key: str, *, lease: float = 0.0, max_age: float = MAX_AGE) -> float:
        """The clock of the server that holds a key, minus the clock of this machine, in seconds.

        A measurement older than `max_age` seconds is repeated; in the background if that is the default. `lease`:
        the lease that the caller requests; a skew above a tenth of it is logged. Raises BrokerError.
        """
        if self._simulated:
            return 0.0
        master = self._master_of(key)
        known = self._known.get(master)
        steady = self._clock.monotonic()
        if known is None or abs(self._clock.now() - steady - known.offset) > JUMP:
            known = await self._measure(master, key)
        elif steady - known.at > max_age:
            if max_age < MAX_AGE:
                known = await self._measure(master, key)
            elif master not in self._measuring:
                self._measuring.add(master)
                self._background.spawn(self._refresh(master, key))
        if lease:
            self._longest_lease = max(self._longest_lease, lease)
            if abs(known.skew) > LOG_ABOVE * lease and not self._logged:
                self._log(master, known.skew)
        return known.skew

    def has_jumped(self, key: str) -> bool:
        """Whether the clock of the server was set less than a lease ago. Leases that are held may end by the former
        time; their holders renew them within this time."""
        at = self._jumped_at.get(self._master_of(key))
        return at is not None and self._clock.monotonic() - at < self._longest_lease

    def _master_of(self, key: str) -> str:
        """The name of the master that holds a key; empty if there is only one, to save the time."""
        return self._redis.master_of(key) if self._redis.clustered else ""

    async def _refresh(self, master: str, key: str) -> None:
        try:
            await self._measure(master, key)
        except BrokerError as error:
            where = master or self._redis.settings.location
            log.debug(
                "the clock of Redis at %s could not be read: %s",
                where,
                error,
                extra={"event": "clock_not_read", "broker": where, "error": str(error)},
            )
        finally:
            self._measuring.discard(master)

    async def _measure(self, master: str, key: str) -> _Measured:
        before = self._clock.monotonic()
        try:
            seconds, micros = await self._redis.command(key, "TIME")
        except RedisError as error:
            if not is_missing_command(error):
                raise
            server = None  # the clock of this machine must do
        else:
            server = int(seconds) + int(micros) / 1e6
        now, steady = self._clock.now(), self._clock.monotonic()
        round_trip = steady - before
        skew = 0.0 if server is None else server - (now - round_trip / 2)
        known = self._known.get(master)
        if known is not None:
            # In monotonic time, so that setting the clock of this machine is no jump of the server's.
            drift = skew + now - steady - (known.skew + known.offset)
            if abs(drift) > JUMP + round_trip:
                self._jumped(master, drift)
            elif abs(drift) < round_trip / 2:
                skew -= drift  # a slow reply knows no better
        measured = self._known[master] = _Measured(skew, now - steady, steady)
        return measured

    def _jumped(self, master: str, seconds: float) -> None:
        self._jumped_at[master] = self._clock.monotonic()
        self._logged = False
        where = master or self._redis.settings.location
        log.warning(
            "the clock of Redis at %s was set by %+.1f s, or this machine was suspended: expired leases are ignored "
            "for the next %.0f s",
            where,
            seconds,
            self._longest_lease,
            extra={"event": "server_clock_changed", "broker": where, "seconds": round(seconds, 3)},
        )

    def _log(self, master: str, skew: float) -> None:
        self._logged = True
        where = master or self._redis.settings.location
        log.warning(
            "the clock of this machine differs from that of Redis at %s by %+.1f s: leases follow Redis, but delayed "
            "tasks start early or late; synchronize the clocks (NTP)",
            where,
            -skew,
            extra={"event": "clock_skew", "broker": where, "seconds": round(-skew, 3)},
        )
