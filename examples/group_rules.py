"""Group rules: a function and a rule per pattern of groups, and flushing a group."""

import asyncio
from collections.abc import Sequence

from asynqio import App, Task

app = App("memory://")
merged: asyncio.Queue[str] = asyncio.Queue()


@app.aggregate
def anything(group: str, members: Sequence[Task]) -> Task:
    """Aggregates groups that no other pattern matches, by the settings of the worker."""
    return report.task(f"{group}: {len(members)} by the worker's settings")


@app.aggregate("user:", max_size=2)
def digest(group: str, members: Sequence[Task]) -> Task:
    """Aggregates groups whose names begin with `user:`. The longest pattern wins."""
    return report.task(f"{group}: {len(members)} at once")


@app.task("report")
async def report(text: str) -> None:
    await merged.put(text)


async def main() -> None:
    async with app, app.running(group_grace=3600):
        event = Task("event")
        await app.enqueue_many([event, event], group="user:7")
        print(await asyncio.wait_for(merged.get(), 5))

        await app.enqueue_many([event, event, event], group="nightly")
        print("flushed:", await app.inspector.flush_group("default", "nightly"))
        print(await asyncio.wait_for(merged.get(), 5))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# user:7: 2 at once
# flushed: 3
# nightly: 3 by the worker's settings
