"""Many at once: one call, one answer per task; what cannot be taken disturbs nothing else."""

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
            resize.task("0.png", 0),  # there already
            resize.task("new.png", 1000),
            resize.with_options(queue="low").task("0.png", 0),  # another queue, another lock
            resize.with_options(deadline=1.0).task("bad.png", 1),
        ]
        for answer in await app.enqueue_many(tasks):
            print("taken" if isinstance(answer, TaskInfo) else f"{type(answer).__name__}: {answer}")

        async with app.running(concurrency=100, queues={"default": 3, "low": 1}):
            await asyncio.wait_for(done.wait(), 5)
        print("done:", len(sizes), "sum:", sum(sizes))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# pending: 1000
# DuplicateTask: a unique task 'resize' with this payload already exists in queue 'default'
# taken
# taken
# InvalidOption: task 'resize': deadline=1.0 is in the past: the task could never run
# done: 1002 sum: 500500
