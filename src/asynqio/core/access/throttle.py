"""Slowing down those who guess: how long a key must wait after its failures."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple


class Pace(NamedTuple):
    """How failures become delays, in seconds.

    The first `free` failures cost nothing. The next attempt waits `delay` seconds, which doubles with each further
    failure up to `longest`. Failures are forgotten `window` seconds after the last delay ended.
    """

    free: int = 5
    window: float = 300.0
    delay: float = 5.0
    longest: float = 300.0

    def wait_after(self, failures: int) -> float:
        """Seconds to wait after this number of failures."""
        if failures < self.free:
            return 0.0
        return min(self.delay * 2.0 ** min(failures - self.free, 60), self.longest)


#: Five failures in five minutes are free.
DEFAULT_PACE = Pace()


class _Failures(NamedTuple):
    times: int
    last: float


class Throttle:
    """The failures of at most `entries` keys; those without a failure for the longest time are dropped first.

    Times are any steady seconds. A clock that is set back never makes a key wait longer than `Pace` says.
    """

    __slots__ = ("_entries", "_failures", "_pace")

    def __init__(self, pace: Pace = DEFAULT_PACE, entries: int = 10_000) -> None:
        self._pace = pace
        self._entries = entries
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait(self, key: str, now: float) -> float:
        """Seconds that this key must wait before its next attempt."""
        found = self._failures.get(key)
        if found is None:
            return 0.0
        delay = self._pace.wait_after(found.times)
        return min(max(found.last + delay - now, 0.0), delay)

    def fail(self, key: str, now: float) -> None:
        """Count a failure."""
        found = self._failures.pop(key, None)
        if found is not None and now > found.last + self._pace.wait_after(found.times) + self._pace.window:
            found = None
        self._failures[key] = _Failures(found.times + 1 if found else 1, now)
        while len(self._failures) > self._entries:
            self._failures.popitem(last=False)

    def take_back(self, key: str) -> None:
        """Take back one failure: the attempt that it was counted for did not fail."""
        found = self._failures.get(key)
        if found is None:
            return
        if found.times > 1:
            self._failures[key] = found._replace(times=found.times - 1)
        else:
            del self._failures[key]

    def delays(self, now: float) -> dict[str, tuple[int, float]]:
        """The keys with a delay that is not forgotten yet: the number of failures, and seconds since the last one."""
        return {
            key: (found.times, max(now - found.last, 0.0))
            for key, found in self._failures.items()
            if (delay := self._pace.wait_after(found.times)) and now <= found.last + delay + self._pace.window
        }

    def restore(self, key: str, times: int, ago: float, now: float) -> None:
        """Count failures that `delays` returned before, or elsewhere, unless this key has as many."""
        found = self._failures.get(key)
        if found is None or found.times < times:
            self._failures[key] = _Failures(times, now - ago)
            while len(self._failures) > self._entries:
                self._failures.popitem(last=False)
