"""Runs the coroutine of a command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asynqio import Inspector
from asynqio.cli.exit_status import INTERRUPTED
from asynqio.cli.output.watch import repeat

T = TypeVar("T")


def run(work: Awaitable[T]) -> T:
    """Run the coroutine of a command. Ctrl-C ends the command silently with status 130."""

    async def main() -> T:
        return await work

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def inspect(
    url: str | None, draw: Callable[[Inspector], Awaitable[None]], *, watch: float | None = None
) -> None:
    """Open an Inspector and call `draw` with it, once or every `watch` seconds."""

    async def work() -> None:
        async with Inspector(url) as inspector:
            await repeat(watch, lambda: draw(inspector))

    run(work())
