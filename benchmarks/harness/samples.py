"""Sample files: handlers in any language append eight bytes, a little-endian double, for each run."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

#: Seconds without a new sample after which a run has stalled.
TIMEOUT = 30.0
#: Polling interval in seconds.
INTERVAL = 0.005
#: Minimum share of the tasks that must run while all processes are working.
SHARE = 0.1


class Stalled(Exception):
    """Fewer tasks ran than expected."""


class SampleFile:
    """The samples of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def __len__(self) -> int:
        return self.path.stat().st_size // 8

    def values(self) -> list[float]:
        return [value for (value,) in struct.iter_unpack("<d", self.path.read_bytes())]

    async def wait_for(self, count: int, check: Callable[[], None] = lambda: None) -> None:
        await wait_for_runs([self], count, check)


async def wait_for_runs(
    files: Sequence[SampleFile], count: int, check: Callable[[], None] = lambda: None
) -> None:
    """Wait until `count` tasks have run. `check` raises if they never will. Raises Stalled."""
    seen, seen_at = 0, time.monotonic()
    while (now := sum(map(len, files))) < count:
        check()
        if now > seen:
            seen, seen_at = now, time.monotonic()
        elif time.monotonic() - seen_at > TIMEOUT:
            raise Stalled(f"{now:,} of {count:,} tasks ran, then none for {TIMEOUT:.0f} s")
        await asyncio.sleep(INTERVAL)


def rate(files: Sequence[SampleFile], count: int) -> float:
    """Tasks per second from when each process has run a task until the last of `count` tasks.

    This excludes the start of processes that start a little later than others. Raises Stalled if a process ran no
    task, or hardly any tasks were left when all had started.
    """
    times = [samples.values() for samples in files]
    if not all(times):
        raise Stalled("one process ran all tasks before another had started: use more tasks")
    last = sorted(time for each in times for time in each)[:count]
    counted = [time for time in last if time >= max(map(min, times))]
    if len(counted) < SHARE * count:
        raise Stalled("a process started when nearly all tasks had run: use more tasks")
    return (len(counted) - 1) / (counted[-1] - counted[0])


@contextlib.contextmanager
def sample_files(count: int) -> Iterator[list[SampleFile]]:
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        yield [SampleFile(Path(directory) / f"samples-{number}") for number in range(count)]


@contextlib.contextmanager
def sample_file() -> Iterator[SampleFile]:
    with sample_files(1) as [samples]:
        yield samples
