"""Unique: at most one task of the same queue, type and payload waits or runs at a time."""

import asyncio

from asynqio import App, DuplicateTask, TaskIdConflict

app = App("memory://", retention=60)


@app.task("report:build", unique=3600)
async def build_report(month: str) -> str:
    return f"report of {month}"


async def main() -> None:
    async with app:
        first = await build_report.enqueue("2024-05")
        try:
            await build_report.enqueue("2024-05")
        except DuplicateTask as duplicate:
            print("refused:", duplicate)
        await build_report.enqueue("2024-06")
        print("enqueued: another payload")

        async with app.running():
            print(await first.result(timeout=5))
            await build_report.enqueue("2024-05")
            print("enqueued: the lock was released")

        order = build_report.with_options(task_id="order-17", unique=60)
        await order.enqueue("2024-07")
        try:
            await order.enqueue("2024-08")
        except TaskIdConflict as conflict:
            print("refused:", conflict)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# refused: a unique task 'report:build' with this payload already exists in queue 'default'
# enqueued: another payload
# report of 2024-05
# enqueued: the lock was released
# refused: queue 'default' already has a task with the id 'order-17'
