"""Benchmark cases. A case measures the values of one or more table rows for one system."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

#: Table row → value.
Values: TypeAlias = dict[str, float]

OURS = "asynqio"
RAW = "bare loop"


class Size(msgspec.Struct, frozen=True):
    """The size of a benchmark run."""

    rounds: int
    drained: int
    one_by_one: int
    callers: int
    samples: int
    idle_seconds: float
    #: Tasks for peers that need milliseconds per task.
    slow: int
    #: Latency samples of peers that poll: half a second or more per sample.
    late_samples: int = 40
    #: Tasks in the queue behind the measured ones.
    behind: int = 1_000_000
    #: Tasks enqueued to measure their memory.
    stored: int = 20_000
    #: Groups beside the members that join.
    groups: int = 100_000


FULL = Size(
    rounds=3, drained=50_000, one_by_one=5_000, callers=20_000, samples=120, idle_seconds=10.0, slow=3_000
)
QUICK = Size(
    rounds=1,
    drained=10_000,
    one_by_one=1_000,
    callers=5_000,
    samples=60,
    idle_seconds=3.0,
    slow=1_000,
    late_samples=8,
    behind=100_000,
)


class Case(msgspec.Struct, frozen=True):
    """A measurement of one system, repeated in each round."""

    system: str
    name: str
    run: Callable[[Size], Awaitable[Values]]
    #: Measured in the first round only: constant, or too slow to repeat.
    once: bool = False
