"""The tasks of these tests. Broker and execution log come from the environment."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

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


@app.task("fork")
def fork(seconds: float = 0.0) -> None:
    """Leaves a child that lives for 3 s and holds every file, socket and lock of its worker."""
    with execution_log.execution():
        if not os.fork():
            time.sleep(3)
            os._exit(0)
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


def start_children(how: str) -> None:
    """Start child processes that live for 60 s, inherit what they can, and are written to the execution log."""
    fork = multiprocessing.get_context("fork")
    before = {process.pid for process in multiprocessing.active_children()}
    match how:
        case "fork":
            pid = os.fork()
            if not pid:
                time.sleep(60)
                os._exit(0)
            pids = [pid]
        case "pool":
            _kept.append(pool := fork.Pool(1))
            pool.apply_async(time.sleep, (60,))
            pids = _new_children(before)
        case "executor":
            _kept.append(executor := ProcessPoolExecutor(1, fork))
            executor.submit(time.sleep, 60)
            pids = _new_children(before)
        case _:
            command = [sys.executable, "-c", "import time; time.sleep(60)"]
            _kept.append(process := subprocess.Popen(command, close_fds=False))
            pids = [process.pid]
    execution_log.write("child", *map(str, pids))


def _new_children(before: set[int | None]) -> list[int]:
    found = {process.pid for process in multiprocessing.active_children()} - before
    return [pid for pid in found if pid is not None]


#: Pools end their processes when nothing refers to them.
_kept: list[object] = []


@app.task("forking", timeout=600)
def forking(how: str) -> None:
    with execution_log.execution():
        start_children(how)
        time.sleep(60)


@app.task("forking_process", run_in="process", timeout=600)
def forking_process(how: str) -> None:
    with execution_log.execution():
        start_children(how)
        time.sleep(60)
