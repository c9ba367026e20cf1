"""Groups: many small tasks become one, after a pause or at a given size."""

import asyncio
from collections.abc import Sequence

from asynqio import App, Task

app = App("memory://")
sent = asyncio.Event()


@app.task("notify", group="user-7")
async def notify(text: str) -> None:
    raise AssertionError("members of a group do not run separately")


@app.aggregate
def digest(group: str, members: Sequence[Task]) -> Task:
    """Receives the members, oldest first, and returns the task that replaces them."""
    texts = [member.load()["text"] for member in members]
    return send_digest.task(user=group, texts=texts)


@app.task("digest")
async def send_digest(user: str, texts: list[str]) -> None:
    print(f"one mail to {user}: {', '.join(texts)}")
    sent.set()


async def main() -> None:
    # The group is ripe at three members, or after 60 s without a new one.
    async with app, app.running(group_grace=60, group_max_size=3):
        for text in ("a like", "a comment", "a follower"):
            handle = await notify.enqueue(text)
            print("enqueued, now", handle.state)
        await asyncio.wait_for(sent.wait(), 5)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# enqueued, now aggregating
# enqueued, now aggregating
# enqueued, now aggregating
# one mail to user-7: a like, a comment, a follower
