"""The steps there are, and the names that they choose from.

Each step picks its own details at random, is taken on both sides, and compares the answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asynqio.core.task.message import TaskRef
from tests.interop.differential.pair import Pair, Step

QUEUES = ["default", "mail:eu", "a b"]
GROUPS = ["g", "user:7"]
TYPES = ["ok", "email:send"]
PAYLOADS = [None, b"", b"x", b"\x00\xff"]
#: Of locks, in seconds. Redis counts real time, so no test can see one end; it must not seem to end for us either.
FOREVER = 10 * 365 * 86_400.0
LEASE = 30.0
#: How long a card lasts, in seconds: longer than the test, so that none lapses while it is read.
CARD = 1000.0
OWNER = "differential"
DAY = 86_400.0

Take = Callable[[Pair], Awaitable[Step]]
STEPS: list[tuple[int, Take]] = []


def step(weight: int) -> Callable[[Take], Take]:
    """Take this step about so often, in comparison."""

    def register(take: Take) -> Take:
        STEPS.append((weight, take))
        return take

    return register


def some_ref(pair: Pair) -> TaskRef:
    """A task, more likely one of the last; it may be gone."""
    known = pair.known[-12:] if pair.random.random() < 0.8 else pair.known
    return pair.random.choice(known) if known else TaskRef("default", "nothing")
