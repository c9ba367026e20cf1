"""A producer process: `python -m tests.acceptance.producer '{"tasks": 4000}'`."""

from __future__ import annotations

import asyncio
import random
import sys
import time

import msgspec

from asynqio import BrokerUnavailable, EnqueueError
from asynqio.errors import BrokerRefused
from tests.acceptance import execution_log
from tests.acceptance.tasks import app, brief, fork


class Plan(msgspec.Struct):
    """The work of a producer."""

    tasks: int
    queue: str = "default"
    #: Tasks per second; 0 for no limit.
    rate: float = 0.0
    #: Tasks per call.
    chunk: int = 50
    #: Longest run time of a task in seconds.
    longest: float = 0.1
    #: One of this many tasks forks; 0: none does.
    forks: int = 0


async def main(plan: Plan) -> None:
    began = time.monotonic()
    async with app:
        for done in range(0, plan.tasks, plan.chunk):
            count = min(plan.chunk, plan.tasks - done)
            tasks = [
                (fork if plan.forks and number % plan.forks == 0 else brief).task(
                    random.uniform(0, plan.longest)
                )
                for number in range(done, done + count)
            ]
            try:
                answers = await app.enqueue_many(tasks, queue=plan.queue)
            except (BrokerUnavailable, BrokerRefused) as error:
                # These were not acknowledged; some of them may be stored.
                print(f"not acknowledged {count}: {error}", file=sys.stderr, flush=True)
            else:
                # From here on the broker guarantees these tasks.
                execution_log.write(
                    "accepted", *[answer.id for answer in answers if not isinstance(answer, EnqueueError)]
                )
                print(f"acknowledged {done + count}", file=sys.stderr, flush=True)
            if plan.rate:
                await asyncio.sleep(max(0.0, began + (done + count) / plan.rate - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Plan)))
