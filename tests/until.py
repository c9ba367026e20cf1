"""Waiting for what sends no signal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(what: str, true: Callable[[], Any], timeout: float = 30.0, every: float = 0.02) -> Any:
    """Wait for something that sends no signal, and give what it is."""
    end = time.monotonic() + timeout
    while not (found := true()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        time.sleep(every)
    return found
