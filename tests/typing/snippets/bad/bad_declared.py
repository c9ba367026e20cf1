"""The words of other queues, where they are written."""

from asynqio import App, Client, Scheduler, Task

app = App("memory://", concurrency=5)  # E: Unexpected keyword argument "concurrency"


@app.task("a", countdown=5)  # E: [call-overload]
async def a(x: int) -> None: ...


@app.task(name="b")  # E: [call-overload]
async def b(x: int) -> None: ...


@app.task("c", acks_late=True)  # E: [call-overload]
async def c(x: int) -> None: ...


@app.task("d", retry=3)  # E: [call-overload]
async def d(x: int) -> None: ...


@app.task("e", task_id="7")  # E: [call-overload]
async def e(x: int) -> None: ...


@app.cron("@daily", timezone="Europe/Berlin")  # E: Unexpected keyword argument "timezone"
@app.task("f")
async def f() -> None: ...


@app.cron("@daily", missed="all")  # E: [arg-type]
@app.task("g")
async def g() -> None: ...


@app.task("good")
async def good(x: int) -> None: ...


good.with_options(eta=5)  # E: Unexpected keyword argument "eta"
good.with_options(timeout="1h")  # E: [arg-type]
Client("memory://", time_limit=5)  # E: Unexpected keyword argument "time_limit"
Scheduler("memory://", priority=5)  # E: Unexpected keyword argument "priority"
Task("a", b"", unique_until="done")  # E: [arg-type]
app.include(["shop.tasks"])  # E: [arg-type]
app.check_tasks()  # E: Missing positional argument "queues"
app.run_worker(concurency=5)  # E: did you mean "concurrency"?
