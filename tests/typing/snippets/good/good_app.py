"""Decorated functions keep their signature and their result."""

from typing import Any, assert_type

from asynqio import App, ExponentialRetry, FixedRetry, RetryByException, SyncTaskHandle, Task, TaskHandle

app = App("memory://", queue="mail", retention=60)


@app.task
async def plain(number: int) -> str:
    return str(number)


@app.task("email:send", queue="critical", max_retry=5, timeout=30, headers={"a": "b"})
async def send(to: str, subject: str = "Welcome", *, urgent: bool = False) -> int:
    return len(to)


@app.task("image:resize", run_in="process", retry=ExponentialRetry(first=0.5))
def resize(path: str, width: int) -> list[int]:
    return [width]


@app.task(retry=RetryByException({ConnectionError: FixedRetry(5)}))
def nothing() -> None: ...


async def use() -> None:
    handle = await send.enqueue("ann@example.org", subject="Hello", urgent=True)
    assert_type(handle, TaskHandle[int])
    assert_type(await handle.result(timeout=1), int)
    assert_type(await (await plain.enqueue(1)).result(), str)
    assert_type(await (await resize.enqueue("a.png", width=3)).result(), list[int])
    assert_type(resize("a.png", 3), list[int])
    assert_type(await send("ann@example.org"), int)
    assert_type(resize.task("a.png", 3), Task)
    assert_type(send.enqueue_sync("ann@example.org"), SyncTaskHandle[int])
    assert_type(send.enqueue_sync("ann@example.org").result(timeout=1), int)
    await nothing.enqueue()


async def results() -> None:
    info = await app.enqueue(Task("raw", b"bytes"))
    assert_type(await app.result(info.id), Any)
