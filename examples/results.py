"""Results: typed return values, their retention, and the errors when there is no result."""

import asyncio
from dataclasses import dataclass

from asynqio import App, ResultNotKept, ResultTimeout, TaskFailed

app = App("memory://")


@dataclass
class Size:
    width: int
    height: int


@app.task("measure", retention=60)
async def measure(path: str) -> Size:
    return Size(len(path), 2 * len(path))


@app.task("unkept")  # no retention: the result is not kept
async def unkept() -> int:
    return 42


@app.task("slow", retention=60)
async def slow() -> None:
    await asyncio.sleep(30)


@app.task("broken", retention=60, max_retry=0)
async def broken() -> None:
    raise ZeroDivisionError("division by zero")


async def main() -> None:
    async with app:
        handle = await unkept.enqueue()
        try:
            await handle.result(timeout=1)
        except ResultNotKept as error:
            print("not kept:", type(error).__name__)

        async with app.running(shutdown_timeout=0):
            size = await (await measure.enqueue("a.png")).result(timeout=5)
            print(size, "width:", size.width)  # a Size, not a dict
            try:
                await (await slow.enqueue()).result(timeout=0.2)
            except ResultTimeout as error:
                print("not yet:", error.state)
            try:
                await (await broken.enqueue()).result(timeout=5)
            except TaskFailed as error:
                print("failed:", error.error)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# not kept: ResultNotKept
# Size(width=5, height=10) width: 5
# not yet: active
# failed: ZeroDivisionError: division by zero
