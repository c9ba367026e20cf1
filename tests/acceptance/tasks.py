"""The tasks of these tests. Broker and execution log come from the environment."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time

from asynqio import App, FixedRetry
from tests.acceptance import execution_log

app = App()


@app.task("brief")
async def brief(seconds: float = 0.0) -> None:
    """A typical task."""
    with execution_log.execution():
        await asyncio.sleep(seconds)


@app.task("thread")
def in_thread(seconds: float = 0.0) -> None:
    with execution_log.execution():
        time.sleep(seconds)


@app.task("busy")
async def busy(seconds: float) -> None:
    """Blocks the event loop."""
    with execution_log.execution():
        until = time.monotonic() + seconds
        number = 0
        while time.monotonic() < until:
            number = (number * 31 + 7) % 1_000_003


@app.task("hold_gil")
def hold_gil(seconds: int) -> None:
    """Holds the GIL: functions of a PyDLL keep it."""
    with execution_log.execution():
        ctypes.PyDLL(None).sleep(ctypes.c_uint(seconds))


@app.task("stubborn")
async def stubborn(seconds: float) -> None:
    """Returns normally when it is cancelled."""
    with execution_log.execution():
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            return


@app.task("endless", run_in="process", timeout=1, max_retry=1, retry=FixedRetry(1.0))
def endless() -> None:
    with execution_log.execution():
        while True:
            pass


@app.task("square", run_in="process", retention=60)
def square(number: int) -> int:
    with execution_log.execution():
        return number * number


@app.task("deadly")
def deadly() -> None:
    """Kills its worker."""
    with execution_log.execution():
        os._exit(9)
