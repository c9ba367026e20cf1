"""What is measured: cases, each of which gives figures for one or more rows of the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

#: Row of the table → value.
Figures: TypeAlias = dict[str, float]

OURS = "asynqio"
RAW = "bare loop"


class Size(msgspec.Struct, frozen=True):
    """How much is done of everything."""

    rounds: int
    drained: int
    one_by_one: int
    callers: int
    samples: int
    idle_seconds: float
    #: Tasks given to peers that need milliseconds for each.
    slow: int
    #: Samples of a latency that is half a second and more.
    late_samples: int = 40
    #: Tasks that wait behind those that are counted.
    behind: int = 1_000_000
    #: Tasks put in to see what memory they take.
    stored: int = 20_000


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
    """One thing that one system does, to be repeated in every round."""

    system: str
    name: str
    run: Callable[[Size], Awaitable[Figures]]
    #: The same in every round, or too slow to be repeated.
    once: bool = False
