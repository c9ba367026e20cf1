"""Every option in every place where options can be given."""

from datetime import UTC, datetime, timedelta

from asynqio import App, FixedRetry, GoRetry, Task, TaskOptions

app = App("memory://", max_retry=3, timeout=timedelta(minutes=1), unique=60, group="g", process_in=1)

FAR = datetime.now(UTC) + timedelta(days=1)
everything: TaskOptions = {
    "queue": "low",
    "max_retry": 0,
    "timeout": 1.5,
    "deadline": FAR,
    "process_in": timedelta(seconds=5),
    "unique": timedelta(hours=1),
    "task_id": "order-7",
    "retention": 60,
    "group": "user-7",
    "headers": {"traceparent": "00-…"},
    "retry": FixedRetry(10),
}


@app.task("a", queue="low", process_in=3, unique=60, retention=timedelta(days=1), group="g")
async def a(x: int) -> None: ...


async def use() -> None:
    await a.with_options(process_at=FAR, deadline=FAR, task_id="7", retry=GoRetry()).enqueue(1)
    await app.enqueue(Task.json("a", {"x": 1}, **everything))
    await app.enqueue(Task("a", b"{}"), process_at=1.9e9, max_retry=2)
    await app.enqueue_many([a.task(1), a.task(2)], queue="low")
    await app.enqueue_many(a.task(n) for n in range(3))
