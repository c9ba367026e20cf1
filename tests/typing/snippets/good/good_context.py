"""`current()` in a handler, hooks of an app, directives."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, assert_type

from asynqio import App, Next, RetryIn, RevokeTask, SkipRetry, Task, TaskContext, current

app = App("memory://")


@app.task("a")
async def a(x: int) -> None:
    context = current()
    assert_type(context, TaskContext)
    assert_type(context.id, str)
    assert_type(context.retried, int)
    assert_type(context.deadline, float)
    assert_type(context.headers, Mapping[str, str])
    assert_type(context.state, Mapping[str, Any])
    stored = await context.report_progress({"done": 5})
    assert_type(stored, bool)
    context.write_result([1, 2]).wait(1)
    if x == 1:
        raise RetryIn(timedelta(minutes=1), "busy")
    if x == 2:
        raise SkipRetry("no")
    raise RevokeTask


@app.aggregate
def digest(group: str, members: Sequence[Task]) -> Task:
    return a.task(len(members))


@app.aggregate("user:", grace=5, max_delay=timedelta(minutes=1), max_size=100)
async def digest_of_user(group: str, members: Sequence[Task]) -> Task:
    return a.task(len(members))


@app.on_error
async def tell(task: Task, error: BaseException, final: bool) -> None: ...


@app.middleware
async def timing(task: Task, call_next: Next) -> object:
    return await call_next(task)
