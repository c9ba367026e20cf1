# mypy: ignore-errors
"""streaq, results not kept."""

import asyncio

from common import age, args, command, mark, put_async, send_async, wait_for_start
from streaq import Worker

worker = Worker(redis_url=args["url"], concurrency=args.get("slots", 10), handle_signals=False)


@worker.task(ttl=0)
async def noop(to, subject, template, customer):
    mark()


@worker.task(ttl=0)
async def when(sent):
    age(sent)


async def one(payload):
    await noop.enqueue(**payload)


async def main():
    if command == "work":
        wait_for_start()
        await worker.run_async()
        return
    async with worker:
        if command == "put":
            await put_async(
                one,
                lambda payloads: worker.enqueue_many([noop.enqueue(**payload) for payload in payloads]),
            )
        else:

            async def send_one(payload):
                await when.enqueue(**payload)

            await send_async(send_one)


asyncio.run(main())
