"""Hooks, middleware in threads, the initializer of task processes, logging."""

import logging
import sys
from collections.abc import Callable
from typing import Any, assert_type

from asynqio import App, Mux, RetryIn, Server, Task, logs

app, mux = App("memory://"), Mux()


def on_success(task: Task, result: object) -> None: ...


async def on_failure(task: Task, error: BaseException) -> None: ...


@app.task("a", on_success=on_success, on_retry=on_failure, on_failure=on_failure)
async def a(number: int) -> int:
    if number < 0:
        raise RetryIn(5, counted=True)
    raise RetryIn(seconds=5, reason="busy", counted=False)


@mux.handle("b", on_failure=on_failure)
def b(task: Task) -> int:
    return 1


assert_type(b(Task("b")), int)  # the decorator leaves the function as it is


@app.on_error
def report(task: Task, error: BaseException, final: bool) -> None: ...


@app.on_success
def succeeded(task: Task, result: Any) -> None: ...


@app.on_retry
async def retried(task: Task, error: BaseException) -> None: ...


@app.on_failure
def failed(task: Task, error: BaseException) -> None: ...


mux.on_success(on_success)
mux.on_retry(retried)
mux.on_failure(failed)


@app.middleware(in_handler_thread=True)
def closing(task: Task, call_next: Callable[[Task], Any]) -> Any:
    return call_next(task)


mux.use(closing, in_handler_thread=True)


@app.process_initializer
def load_model() -> None: ...


Server("memory://", process_initializer=load_model)
App("memory://", process_initializer=load_model)

logs.configure()
logs.configure("json", "info", sys.stdout)
logs.configure(format="pretty", level=logging.DEBUG, stream=None)
logging.StreamHandler().addFilter(logs.TaskContextFilter())
