# mypy: ignore-errors
"""arq. It polls every 10 ms in the drain and with its default of half a second otherwise."""

import asyncio

from arq import create_pool, func
from arq.connections import RedisSettings
from arq.worker import Worker
from common import age, args, command, host, mark, port, put_async, send_async, wait_for_start

settings = RedisSettings(host=host, port=port)


async def noop(ctx, **payload):
    mark()


async def when(ctx, sent):
    age(sent)


async def main():
    if command == "work":
        wait_for_start()
        worker = Worker(
            functions=[func(noop, keep_result=0), func(when, keep_result=0)],
            redis_settings=settings,
            max_jobs=args["slots"],
            poll_delay=0.01 if args["eager"] else 0.5,
            handle_signals=False,
        )
        await worker.async_run()
        return
    pool = await create_pool(settings)
    if command == "put":
        await put_async(lambda payload: pool.enqueue_job("noop", **payload))
    else:
        await send_async(lambda payload: pool.enqueue_job("when", **payload))


asyncio.run(main())
