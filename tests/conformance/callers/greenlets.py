"""A program of greenlets, `python -m tests.conformance.callers.greenlets LIBRARY PATCHES URL`, prints their answers.

`LIBRARY` is gevent or eventlet, `PATCHES` the arguments of its patch function, as JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

library, patches, url = sys.argv[1:]
green: Any = importlib.import_module(library)
if library == "gevent":
    importlib.import_module("gevent.monkey").patch_all(**json.loads(patches))
else:
    green.monkey_patch(**json.loads(patches))

from asynqio import App, ConfigError, TaskState  # noqa: E402

GREENLETS = 10
ticks = 0


def tick() -> None:
    """Count while the other greenlets wait."""
    global ticks
    while True:
        ticks += 1
        green.sleep(0.001)


app = App(url, retention=60)


@app.task("a")
def a(number: int) -> None: ...


def use(number: int) -> str:
    """Enqueue, and see the task."""
    before = ticks
    try:
        handle = a.enqueue_sync(number)
        assert app.sync.find(handle).state is TaskState.PENDING
        assert next(iter(handle.follow())).state is TaskState.PENDING  # type: ignore[union-attr]
    except ConfigError as error:
        return f"{type(error).__name__}: {error}"
    return "ok" if ticks > before else "the other greenlets stood still"


green.spawn(tick)
jobs = [green.spawn(use, number) for number in range(GREENLETS)]
wait = "get" if library == "gevent" else "wait"
for answer in sorted({getattr(job, wait)() for job in jobs}):
    print(answer)
app.sync.close()
