"""Produces tasks until it is killed: `python -m tests.acceptance.soak.producers '{"threads": 8}'`."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Sequence

import msgspec

from asynqio import BrokerError, EnqueueError, TaskInfo
from tests.acceptance import execution_log
from tests.acceptance.soak.tasks import app, some_tasks


class Plan(msgspec.Struct):
    """How to produce: blocking calls of this many threads, as in Django, or else on an event loop."""

    threads: int = 0
    #: Calls per second, of each thread, and tasks per call.
    rate: float = 5.0
    chunk: int = 1


def _record(answers: Sequence[TaskInfo | EnqueueError]) -> None:
    """From here on the broker guarantees these tasks."""
    refused = [answer for answer in answers if isinstance(answer, EnqueueError)]
    execution_log.write("accepted", *[answer.id for answer in answers if isinstance(answer, TaskInfo)])
    for error in refused:
        print(f"refused: {error!r}", file=sys.stderr, flush=True)


def _failed(count: int, error: BrokerError) -> None:
    """These were not acknowledged; some of them may be stored."""
    execution_log.write("failed", *[type(error).__name__] * count)


def produce_blocking(plan: Plan) -> None:
    while True:
        tasks = some_tasks(plan.chunk)
        try:
            _record(app.sync.enqueue_many(tasks))
        except BrokerError as error:
            _failed(len(tasks), error)
        time.sleep(1 / plan.rate)


async def produce(plan: Plan) -> None:
    async with app:
        while True:
            tasks = some_tasks(plan.chunk)
            try:
                _record(await app.enqueue_many(tasks))
            except BrokerError as error:
                _failed(len(tasks), error)
            await asyncio.sleep(1 / plan.rate)


def main(plan: Plan) -> None:
    if not plan.threads:
        asyncio.run(produce(plan))
    threads = [threading.Thread(target=produce_blocking, args=(plan,)) for _ in range(plan.threads)]
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Plan))
