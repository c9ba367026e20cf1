"""The registry of steps, and the names from which they choose.

Each step chooses its details at random, is applied to both sides, and compares the answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asynqio.core.task.message import TaskRef
from tests.interop.differential.pair import Pair, Step

QUEUES = ["default", "mail:eu", "a b"]
GROUPS = ["g", "user:7"]
TYPES = ["ok", "email:send"]
PAYLOADS = [None, b"", b"x", b"\x00\xff"]
#: Lifetime of locks in seconds, longer than the test: Redis expires them in real time.
FOREVER = 10 * 365 * 86_400.0
LEASE = 30.0
#: Lifetime of server info in seconds, longer than the test.
INFO_TTL = 1000.0
OWNER = "differential"
DAY = 86_400.0

Take = Callable[[Pair], Awaitable[Step]]
STEPS: list[tuple[int, Take]] = []


def step(weight: int) -> Callable[[Take], Take]:
    """Register a step with a relative frequency."""

    def register(take: Take) -> Take:
        STEPS.append((weight, take))
        return take

    return register


def some_ref(pair: Pair) -> TaskRef:
    """A task, preferably a recent one; it may no longer exist."""
    known = pair.known[-12:] if pair.random.random() < 0.8 else pair.known
    return pair.random.choice(known) if known else TaskRef("default", "nothing")
