"""Guards for each test: no thread outlives it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from tests.brokers.remote.support.gateway import THREAD

#: Seconds until a thread must have ended after its test.
GRACE = 5.0


def leftovers(before: Iterable[threading.Thread]) -> list[str]:
    """The names of threads that started since `before` and do not end."""
    known = set(before)
    fresh = [thread for thread in threading.enumerate() if thread not in known and thread.name != THREAD]
    for thread in fresh:
        thread.join(GRACE)
    return sorted(thread.name for thread in fresh if thread.is_alive())
