"""Mistakes that a type checker finds in hooks and logging."""

from typing import Any

from asynqio import App, Mux, RetryIn, Task, logs

app, mux = App("memory://"), Mux()


@app.on_error  # E: [type-var]
def without_final(task: Task, error: BaseException) -> None: ...


@app.on_success  # E: [type-var]
def no_result(task: Task) -> None: ...


@app.on_failure  # E: [type-var]
def wants_text(task: Task, error: str) -> None: ...


def one_argument(task: Task) -> None: ...


mux.handle("a", one_argument, on_retry=one_argument)  # E: [arg-type]


@app.middleware(in_handler_thread=True)  # E: [type-var]
def no_next(task: Task) -> Any: ...


@app.process_initializer  # E: [type-var]
def wants_an_argument(model: str) -> None: ...


RetryIn(5, counted="yes")  # E: [arg-type]
RetryIn(5, "busy", True)  # E: [call-arg]
logs.configure("xml")  # E: [arg-type]
