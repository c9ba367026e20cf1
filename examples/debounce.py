"""Debounce and throttle: many calls become one task, the last one, or the first."""

import asyncio

from asynqio import App, DuplicateTask

app = App("memory://")
done = asyncio.Event()


@app.task("index", process_in=0.3, unique=60, unique_key="pages", on_duplicate="replace")
async def index(version: int) -> None:
    """Once, when nobody called for 0.3 seconds, with the arguments of the last call."""
    print("indexed version", version)
    done.set()


@app.task("alert", unique=60, unique_until="expired")
async def alert(what: str) -> None:
    """At most once a minute, though the first one is long done."""
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
            print("not again within this minute")


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# three calls, 1 task
# indexed version 3
# alert: disk full
# not again within this minute
