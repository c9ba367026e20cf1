"""The tasks that the workers of these tests handle. The broker and the journal come from the environment."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time

from asynqio import App, FixedRetry
from tests.acceptance import journal

app = App()


@app.task("brief")
async def brief(seconds: float = 0.0) -> None:
    """What most tasks are like."""
    with journal.execution():
        await asyncio.sleep(seconds)


@app.task("thread")
def in_thread(seconds: float = 0.0) -> None:
    with journal.execution():
        time.sleep(seconds)


@app.task("busy")
async def busy(seconds: float) -> None:
    """Computes without ever letting the event loop run."""
    with journal.execution():
        until = time.monotonic() + seconds
        number = 0
        while time.monotonic() < until:
            number = (number * 31 + 7) % 1_000_003


@app.task("hold_gil")
def hold_gil(seconds: int) -> None:
    """In C, and no other thread of the process can run Python: functions of a PyDLL keep the GIL."""
    with journal.execution():
        ctypes.PyDLL(None).sleep(ctypes.c_uint(seconds))


@app.task("stubborn")
async def stubborn(seconds: float) -> None:
    """Ends as if nothing had happened when it is cancelled."""
    with journal.execution():
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            return


@app.task("endless", run_in="process", timeout=1, max_retry=1, retry=FixedRetry(1.0))
def endless() -> None:
    with journal.execution():
        while True:
            pass


@app.task("square", run_in="process", retention=60)
def square(number: int) -> int:
    with journal.execution():
        return number * number


@app.task("deadly")
def deadly() -> None:
    """Takes the whole worker with it."""
    with journal.execution():
        os._exit(9)
