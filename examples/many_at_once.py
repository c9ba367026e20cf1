"""Enqueue many: one call, one answer per task; a refused task does not affect the others."""

import asyncio

from asynqio import App, Inspector, TaskInfo

app = App("memory://")
sizes: list[int] = []
done = asyncio.Event()


@app.task("resize", unique=60)
async def resize(path: str, width: int) -> None:
    sizes.append(width)
    if len(sizes) == 1002:
        done.set()


async def main() -> None:
    inspector = Inspector(app.broker)
    async with app:
        await app.enqueue_many(resize.task(f"{n}.png", n) for n in range(1000))
        print("pending:", (await inspector.queue("default")).pending)

        tasks = [
            resize.task("0.png", 0),  # a duplicate
            resize.task("new.png", 1000),
            resize.with_options(queue="low").task("0.png", 0),  # another queue has another lock
            resize.with_options(deadline=1.0).task("late.png", 1),  # a deadline in the past
        ]
        for answer in await app.enqueue_many(tasks):
            print("enqueued" if isinstance(answer, TaskInfo) else f"{type(answer).__name__}: {answer}")

        async with app.running(concurrency=100, queues={"default": 3, "low": 1}):
            await asyncio.wait_for(done.wait(), 5)
        print("done:", len(sizes), "sum:", sum(sizes))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# pending: 1000
# DuplicateTask: a unique task 'resize' with this payload already exists in queue 'default'
# enqueued
# enqueued
# InvalidOption: task 'resize': deadline=1.0 is in the past: the task could never run
# done: 1002 sum: 500500
