"""Middleware: wraps every handler; the first one is the outermost."""

import asyncio
from collections import Counter

from asynqio import App, Next, SkipRetry, Task, TaskFailed

app = App("memory://", retention=60)
runs: Counter[str] = Counter()


@app.middleware
async def count(task: Task, call_next: Next) -> object:
    try:
        result = await call_next(task)
    except Exception:
        runs[f"{task.type} failed"] += 1
        raise
    runs[f"{task.type} done"] += 1
    return result


@app.middleware
async def only_known_tenants(task: Task, call_next: Next) -> object:
    if task.headers.get("tenant") != "acme":
        raise SkipRetry("unknown tenant")
    return await call_next(task)


@app.task("invoice")
async def invoice(number: int) -> str:
    return f"invoice {number}"


async def main() -> None:
    async with app, app.running():
        handle = await invoice.with_options(headers={"tenant": "acme"}).enqueue(1)
        print(await handle.result(timeout=5))
        handle = await invoice.with_options(headers={"tenant": "other"}).enqueue(2)
        try:
            await handle.result(timeout=5)
        except TaskFailed as failed:
            print(failed.error)
    print(sorted(runs.items()))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# invoice 1
# unknown tenant
# [('invoice done', 1), ('invoice failed', 1)]
