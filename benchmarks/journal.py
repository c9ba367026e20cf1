"""What handlers leave behind in a file, whatever language they are written in: eight bytes for each task."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds without a further task after which nothing more is expected.
PATIENCE = 30.0
#: Seconds between two looks at it.
LOOK = 0.005


class Stalled(Exception):
    """Fewer tasks were run than there are."""


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def __len__(self) -> int:
        return self.path.stat().st_size // 8

    def values(self) -> list[float]:
        return [value for (value,) in struct.iter_unpack("<d", self.path.read_bytes())]

    def rate(self, count: int) -> float:
        """Tasks per second between the first and the last of `count`."""
        times = sorted(self.values())[:count]
        return (len(times) - 1) / (times[-1] - times[0])

    async def until(self, count: int, check: Callable[[], None] = lambda: None) -> None:
        """Until `count` tasks have run. `check` raises if nothing is to be hoped for."""
        seen, seen_at = 0, time.monotonic()
        while (now := len(self)) < count:
            check()
            if now > seen:
                seen, seen_at = now, time.monotonic()
            elif time.monotonic() - seen_at > PATIENCE:
                raise Stalled(f"{now:,} of {count:,} tasks were run, then nothing for {PATIENCE:.0f} s")
            await asyncio.sleep(LOOK)


@contextlib.contextmanager
def fresh_journal() -> Iterator[Journal]:
    with tempfile.TemporaryDirectory(prefix="asynqio-bench-") as directory:
        yield Journal(Path(directory) / "journal")
