# mypy: ignore-errors
"""taskiq on Redis streams, without a result backend."""

import asyncio

from common import age, args, command, mark, put_async, send_async, wait_for_start
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(args["url"])


@broker.task
async def noop(to, subject, template, customer):
    mark()


@broker.task
async def when(sent):
    age(sent)


async def main():
    if command == "work":
        wait_for_start()
        broker.is_worker_process = True
        await run_receiver_task(broker, max_async_tasks=args["slots"], run_startup=True)
        return
    await broker.startup()
    if command == "put":
        await put_async(lambda payload: noop.kiq(**payload))
    else:
        await send_async(lambda payload: when.kiq(**payload))
    await broker.shutdown()


asyncio.run(main())
