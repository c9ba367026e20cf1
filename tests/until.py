"""Polling for conditions without a signal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(what: str, true: Callable[[], Any], timeout: float = 30.0, every: float = 0.02) -> Any:
    """Poll until `true` returns a true value, and return it. Raises AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not (found := true()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(every)
    return found
