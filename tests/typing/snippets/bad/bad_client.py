"""What a client takes."""

from asynqio import App, Client, Task, sync

app = App("memory://")


@app.task("a")
async def a(x: int) -> str:
    return str(x)


async def use(client: Client) -> None:
    await client.enqueue("a")  # E: [arg-type]
    await client.enqueue(a)  # E: [arg-type]
    await client.enqueue(a(1))  # E: [arg-type]
    await app.enqueue_many([a.task(1), "b"])  # E: [list-item]
    Task("a", "text")  # E: [arg-type]
    Task.json("a")  # E: Missing positional argument "value"
    Client(17)  # E: [arg-type]
    client.enqueue(Task("a"))  # E: [unused-coroutine]
    with sync.Client("memory://") as blocking:
        await blocking.enqueue(Task("a"))  # E: [misc]
