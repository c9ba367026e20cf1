"""Arguments of a task function are those of the function."""

from asynqio import App

app = App("memory://")


@app.task("email:send")
async def send(to: str, subject: str = "Welcome") -> int:
    return 1


@app.task
def bare(number: int) -> None: ...


async def use() -> None:
    await send.enqueue(17)  # E: [arg-type]
    await send.enqueue()  # E: Missing positional argument "to"
    await send.enqueue("ann", sbject="Hello")  # E: Unexpected keyword argument "sbject"
    await send.enqueue("ann", "Hello", "more")  # E: [call-arg]
    send.task(to=None)  # E: [arg-type]
    send.enqueue_sync("ann", 5)  # E: [arg-type]
    bare("1")  # E: [arg-type]
    await bare.enqueue("1")  # E: [arg-type]
    await send("ann", subject=3)  # E: [arg-type]
