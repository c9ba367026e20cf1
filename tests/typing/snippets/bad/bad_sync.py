"""The blocking names block, and have the same types."""

from asynqio import App, sync

app = App("memory://")


@app.task("a")
def a(x: int) -> str:
    return str(x)


def use(client: sync.Client, inspector: sync.Inspector) -> None:
    handle = a.enqueue_sync(1)
    number: int = handle.result()  # E: [assignment]
    handle.result("soon")  # E: [arg-type]
    handle.type  # E: [attr-defined]
    handle.cancel(archive=True)  # E: Unexpected keyword argument "archive"
    client.cancel(handle, "low")  # E: Too many positional arguments
    inspector.find("low", "id")  # E: Too many positional arguments
    inspector.cancel_many([handle, 3])  # E: [list-item]
    a.enqueue_sync("1")  # E: [arg-type]


async def mixed() -> None:
    await a.enqueue_sync(1)  # E: [misc]
    await a.enqueue_sync(1).result()  # E: [misc]
