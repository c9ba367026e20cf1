"""How a task is named, and what cancelling takes and answers."""

from asynqio import Action, App, CancelOutcome, Client, Inspector, TaskState

app = App("memory://")


@app.task("a")
async def a(x: int) -> str:
    return str(x)


async def use(client: Client, inspector: Inspector) -> None:
    await app.cancel(17)  # E: [arg-type]
    await app.cancel(a)  # E: [arg-type]
    await client.cancel("id", "low")  # E: Too many positional arguments
    await client.cancel("id", archive=True)  # E: Unexpected keyword argument "archive"
    await inspector.cancel("low", "id")  # E: Too many positional arguments
    await inspector.cancel(["id"])  # E: [arg-type]
    await inspector.run("default", "id")  # E: Too many positional arguments
    await inspector.rewrite("id", "text")  # E: [arg-type]
    await inspector.cancel_many([1, 2])  # E: [list-item]
    await inspector.act("run", ["id"])  # E: [arg-type]
    await inspector.transfer(["id"])  # E: Missing positional argument "target"
    await inspector.tasks("default", "pending")  # E: [arg-type]
    await inspector.find_many("id").first()  # E: [attr-defined]
    stopped: bool = await app.cancel("id")  # E: [assignment]
    app.cancel("id")  # E: [unused-coroutine]
    print(CancelOutcome.CANCELLED)  # E: [attr-defined]
    await client.delete(["id"])  # E: [arg-type]
    await client.wait("id", 5)  # E: Too many positional arguments
    print((await app.find("id")).stat)  # E: [attr-defined]


async def handle() -> None:
    one = await a.enqueue(1)
    await one.cancel(True)  # E: Too many positional arguments
    one.result()  # E: [unused-coroutine]
    one.info.retried = 3  # E: [misc]
    one.id = "other"  # E: [misc]
    if one.state is TaskState.PENDIN:  # E: [attr-defined]
        pass
