"""Handlers for the process lane: importable, as they must be."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asynqio import App, FixedRetry, RetryIn, SkipRetry, Task, current


class OddError(Exception):
    """Cannot be pickled: its constructor wants more than its text."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


def declare(app: App) -> dict[str, Any]:
    """The handlers of this module as tasks of an app."""
    return {
        "double": app.task("double", run_in="process", retention=60)(double),
        "double_async": app.task("double:async", run_in="process", retention=60)(double_async),
        "spin": app.task("spin", run_in="process", timeout=1, retry=FixedRetry(3600))(spin),
        "odd": app.task("odd", run_in="process", max_retry=0)(odd),
        "give_up": app.task("give_up", run_in="process")(give_up),
        "later": app.task("later", run_in="process")(later),
        "die": app.task("die", run_in="process", retry=FixedRetry(0))(die),
        "pid": app.task("pid", run_in="process", retention=60)(pid),
        "eat": app.task("eat", run_in="process", retention=60)(eat),
        "report": app.task("report", run_in="process", retention=60)(report),
    }


def double(number: int) -> int:
    return 2 * number


async def double_async(number: int) -> int:
    return 2 * number


def spin() -> None:
    while True:
        pass


def odd() -> None:
    raise OddError(7, "odd")


def give_up() -> None:
    raise ValueError("no way") from SkipRetry()


def later() -> None:
    raise RetryIn(3600)


def die() -> None:
    os._exit(9)


def pid() -> int:
    return os.getpid()


def eat(megabytes: int) -> int:
    _eaten.append(b"x" * (megabytes << 20))
    return os.getpid()


def report() -> None:
    current().report_progress({"pid": os.getpid()})
    current().write_result({"from": "child"})


def plain(task: Task) -> str:
    return f"{task.type} {task.load()}"


def nap(seconds: float) -> None:
    time.sleep(seconds)


_eaten: list[bytes] = []


def talk(task: Task) -> None:
    """In a thread and in a process: what it says, and what it logs."""
    current().log("said")
    logging.getLogger("shop.orders").warning("logged %d", 7)
    current().report_progress(50)
    raise ValueError("enough")


trail: list[str] = []


def leave_trail(task: Task, call_next: Callable[[Task], Any]) -> Any:
    """Middleware in the handler's thread or process."""
    trail.append(f"before {threading.get_ident()}")
    try:
        result = call_next(task)
        trail.append(f"result {result}")
        return result
    finally:
        trail.append(f"after {threading.get_ident()}")


def show_trail() -> list[str]:
    return list(trail)


def count_initializations() -> None:
    trail.append(f"initialized {os.getpid()}")


def cannot_initialize() -> None:
    raise OSError("the model file is missing")


def cannot_initialize_once() -> None:
    """Fails in the first process only."""
    marker = Path(os.environ["ASYNQIO_TEST_MARKER"])
    if not marker.exists():
        marker.touch()
        raise OSError("not yet")


def dies_initializing() -> None:
    os._exit(7)


async def initialize_async() -> None:
    trail.append("initialized by a coroutine")


def trail_of_task(task: Task) -> list[str]:
    return list(trail)
