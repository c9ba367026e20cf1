"""Prints again every SECONDS: `--watch`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable


async def repeat(seconds: float | None, draw: Callable[[], Awaitable[None]]) -> None:
    """Call `draw` once if `seconds` is None, else every `seconds` until Ctrl-C. Clears the screen before each call
    on a terminal."""
    while True:
        if seconds is not None and sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="")
        await draw()
        sys.stdout.flush()
        if seconds is None:
            return
        await asyncio.sleep(seconds)
