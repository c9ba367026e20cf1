"""Options of tasks, wherever they are given."""

from asynqio import App, Client, Task

app = App("memory://", quue="mail")  # E: Unexpected keyword argument "quue"


@app.task("a", max_retries=5)  # E: did you mean "max_retry"?
async def a(x: int) -> None: ...


@app.task("b", queue=5)  # E: [call-overload]
async def b(x: int) -> None: ...


@app.task("c", run_in="proces")  # E: [call-overload]
def c(x: int) -> None: ...


@app.task("good")
async def good(x: int) -> None: ...


async def use(client: Client) -> None:
    good.with_options(retentoin=60)  # E: did you mean "retention"?
    good.with_options(max_retry="many")  # E: [arg-type]
    good.with_options(process_at="tomorrow")  # E: [arg-type]
    await client.enqueue(Task("a"), proces_in=5)  # E: did you mean "process_in"?
    await client.enqueue(Task("a"), unique=True, timeout="1h")  # E: [arg-type]
    Task("a", b"", headers={"a": 1})  # E: [dict-item]
    Task.json("a", {}, grup="x")  # E: did you mean "group"?
    Client("memory://", retention="1h")  # E: [arg-type]
