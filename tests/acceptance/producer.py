"""A producer process: `python -m tests.acceptance.producer '{"tasks": 4000}'`."""

from __future__ import annotations

import asyncio
import random
import sys
import time

import msgspec

from asynqio import BrokerUnavailable, EnqueueError
from tests.acceptance import journal
from tests.acceptance.tasks import app, brief


class Plan(msgspec.Struct):
    """What to produce."""

    tasks: int
    queue: str = "default"
    #: Tasks per second; 0: as fast as it goes.
    rate: float = 0.0
    #: Tasks of one call.
    chunk: int = 50
    #: The longest a task takes, in seconds.
    longest: float = 0.1


async def main(plan: Plan) -> None:
    began = time.monotonic()
    async with app:
        for done in range(0, plan.tasks, plan.chunk):
            count = min(plan.chunk, plan.tasks - done)
            tasks = [brief.task(random.uniform(0, plan.longest)) for _ in range(count)]
            try:
                answers = await app.enqueue_many(tasks, queue=plan.queue)
            except BrokerUnavailable as error:
                # Nobody answers for these; some of them may be stored all the same.
                print(f"refused {count}: {error}", file=sys.stderr, flush=True)
            else:
                # Only from here on does the broker answer for them.
                journal.write(
                    "accepted", *[answer.id for answer in answers if not isinstance(answer, EnqueueError)]
                )
                print(f"acknowledged {done + count}", file=sys.stderr, flush=True)
            if plan.rate:
                await asyncio.sleep(max(0.0, began + (done + count) / plan.rate - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Plan)))
