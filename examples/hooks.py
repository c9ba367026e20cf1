"""Hooks: react to success, retry and failure, per task and for all tasks."""

import asyncio

from asynqio import App, FixedRetry, RetryIn, Task, TaskFailed, current

app = App("memory://", retention=60, retry=FixedRetry(0.01))


def refund(task: Task, error: BaseException) -> None:
    print("refund", task.load()["order"], "after:", error)


@app.task("charge", max_retry=1, on_failure=refund)  # a hook of this task
async def charge(order: str) -> str:
    if order == "A-1" and current().retried == 0:
        raise RetryIn(0.01, "the bank is busy", counted=True)
    if order == "A-2":
        raise ConnectionError("no reply from the bank")
    return f"charged {order}"


@app.on_success  # hooks of all tasks
async def succeeded(task: Task, result: object) -> None:
    print("success:", result)


@app.on_retry
async def retried(task: Task, error: BaseException) -> None:
    print("retry:", error)


@app.on_error
async def failed(task: Task, error: BaseException, final: bool) -> None:
    print("error:", type(error).__name__, "final" if final else "not final")


async def main() -> None:
    async with app, app.running():
        for order in ("A-1", "A-2"):
            try:
                await (await charge.enqueue(order)).result(timeout=5)
            except TaskFailed:
                print("archived")


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# retry: the bank is busy
# success: charged A-1
# error: ConnectionError not final
# retry: no reply from the bank
# error: ConnectionError final
# refund A-2 after: no reply from the bank
# archived
