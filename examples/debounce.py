"""Debounce and throttle: many calls become one task, with the arguments of the last or the first call."""

import asyncio

from asynqio import App, DuplicateTask

app = App("memory://")
done = asyncio.Event()


@app.task("index", process_in=0.3, unique=60, unique_key="pages", on_duplicate="replace")
async def index(version: int) -> None:
    """Runs once, 0.3 seconds after the last call, with its arguments."""
    print("indexed version", version)
    done.set()


@app.task("alert", unique=60, unique_until="expired")
async def alert(what: str) -> None:
    """Runs at most once a minute, even after the first task is done."""
    print("alert:", what)
    done.set()


async def main() -> None:
    async with app, app.running():
        handles = [await index.enqueue(version) for version in (1, 2, 3)]
        print("three calls,", len({handle.id for handle in handles}), "task")
        await asyncio.wait_for(done.wait(), 5)

        done.clear()
        await alert.enqueue("disk full")
        await asyncio.wait_for(done.wait(), 5)
        try:
            await alert.enqueue("disk full")
        except DuplicateTask:
            print("rejected within the same minute")


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# three calls, 1 task
# indexed version 3
# alert: disk full
# rejected within the same minute
