# mypy: ignore-errors
"""SAQ, results not kept."""

import asyncio

from common import age, args, command, mark, put_async, send_async, wait_for_start
from saq import Queue, Worker

queue = Queue.from_url(args["url"])


async def noop(ctx, *, to, subject, template, customer):
    mark()


async def when(ctx, *, sent):
    age(sent)


async def main():
    await queue.connect()
    if command == "work":
        wait_for_start()
        await Worker(queue, functions=[noop, when], concurrency=args["slots"]).start()
        return
    if command == "put":
        await put_async(lambda payload: queue.enqueue("noop", ttl=-1, **payload))
    else:
        await send_async(lambda payload: queue.enqueue("when", ttl=-1, **payload))
    await queue.disconnect()


asyncio.run(main())
