"""Retries: a policy per task, a retry that is not counted, and no retry at all."""

import asyncio

from asynqio import App, FixedRetry, RetryIn, SkipRetry, TaskFailed, current

app = App("memory://", retention=60)
polls = 0


@app.task("pay", max_retry=5, retry=FixedRetry(0.05))
async def pay(amount: int) -> str:
    if current().retried < 2:
        raise ConnectionError("no reply from the bank")
    return f"paid {amount} after {current().retried} retries"


@app.task("poll")
async def poll() -> str:
    global polls
    polls += 1
    if polls < 3:
        raise RetryIn(0.05)  # run again; not a failure, not a counted retry
    return f"ready at poll {polls}, retried {current().retried}"


@app.task("refund")
async def refund(order: str) -> None:
    raise SkipRetry(f"order {order} was never paid")  # a retry cannot help


async def main() -> None:
    async with app, app.running():
        print(await (await pay.enqueue(30)).result(timeout=5))
        print(await (await poll.enqueue()).result(timeout=5))
        handle = await refund.enqueue("A-7")
        try:
            await handle.result(timeout=5)
        except TaskFailed as failed:
            print("refused:", failed.error)
        print("state:", (await handle.refresh()).state)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# paid 30 after 2 retries
# ready at poll 3, retried 0
# refused: order A-7 was never paid
# state: archived
