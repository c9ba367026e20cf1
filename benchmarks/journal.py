"""What handlers leave behind in a file, whatever language they are written in: eight bytes for each task."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

#: Seconds without a further task after which nothing more is expected.
TIMEOUT = 30.0
#: Seconds between two looks at it.
LOOK = 0.005
#: Share of the tasks that must be run while all processes work.
SHARE = 0.1


class Stalled(Exception):
    """Fewer tasks were run than there are."""


class Journal:
    """Of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def __len__(self) -> int:
        return self.path.stat().st_size // 8

    def values(self) -> list[float]:
        return [value for (value,) in struct.iter_unpack("<d", self.path.read_bytes())]

    async def until(self, count: int, check: Callable[[], None] = lambda: None) -> None:
        await until([self], count, check)


async def until(journals: Sequence[Journal], count: int, check: Callable[[], None] = lambda: None) -> None:
    """Until `count` tasks have run. `check` raises if nothing is to be hoped for."""
    seen, seen_at = 0, time.monotonic()
    while (now := sum(map(len, journals))) < count:
        check()
        if now > seen:
            seen, seen_at = now, time.monotonic()
        elif time.monotonic() - seen_at > TIMEOUT:
            raise Stalled(f"{now:,} of {count:,} tasks were run, then nothing for {TIMEOUT:.0f} s")
        await asyncio.sleep(LOOK)


def rate(journals: Sequence[Journal], count: int) -> float:
    """Tasks per second from the moment at which every process has run one, until the last of `count`.

    So the start of a process does not count, though it comes a little after that of another. Raises Stalled when
    there is a process that got no task while there were any.
    """
    times = [journal.values() for journal in journals]
    if not all(times):
        raise Stalled("one process worked everything off before another had started: give it more tasks")
    last = sorted(time for each in times for time in each)[:count]
    counted = [time for time in last if time >= max(map(min, times))]
    if len(counted) < SHARE * count:
        raise Stalled("a process started when nearly everything was done: give it more tasks")
    return (len(counted) - 1) / (counted[-1] - counted[0])


@contextlib.contextmanager
def fresh_journals(count: int) -> Iterator[list[Journal]]:
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        yield [Journal(Path(directory) / f"journal-{number}") for number in range(count)]


@contextlib.contextmanager
def fresh_journal() -> Iterator[Journal]:
    with fresh_journals(1) as [journal]:
        yield journal
