"""A result has the type that the function returns."""

from asynqio import App, Client

app = App("memory://")


@app.task("a")
async def a(x: int) -> str:
    return str(x)


@app.task("b", run_in="process")
def b() -> int:
    return 1


async def use(client: Client) -> None:
    handle = await a.enqueue(1)
    number: int = await handle.result()  # E: [assignment]
    text: str = await (await b.enqueue()).result()  # E: [assignment]
    (await handle.result()).nope()  # E: [attr-defined]
    size: str = await client.result(handle.id, int)  # E: [arg-type]
    await handle.result("soon")  # E: [arg-type]
    handle.resutl()  # E: [attr-defined]
    count: int = a.enqueue_sync(1).result(timeout=1)  # E: [assignment]
