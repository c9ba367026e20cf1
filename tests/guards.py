"""Guards around every test: nothing blocks the event loop, no thread is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterable

#: How long a thread may take to end after its test, in seconds.
GRACE = 5.0


def leftovers(before: Iterable[threading.Thread]) -> list[str]:
    """The names of the threads that were started since `before` and do not end."""
    known = set(before)
    fresh = [thread for thread in threading.enumerate() if thread not in known]
    for thread in fresh:
        thread.join(GRACE)
    return sorted(thread.name for thread in fresh if thread.is_alive())
