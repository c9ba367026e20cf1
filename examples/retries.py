"""Retries: a policy per task, "again in a moment" without counting, and giving up at once."""

import asyncio

from asynqio import App, FixedRetry, RetryIn, SkipRetry, TaskFailed, current

app = App("memory://", retention=60)
asked = 0


@app.task("pay", max_retry=5, retry=FixedRetry(0.05))
async def pay(amount: int) -> str:
    if current().retried < 2:
        raise ConnectionError("the bank does not answer")
    return f"paid {amount} after {current().retried} retries"


@app.task("ask")
async def ask() -> str:
    global asked
    asked += 1
    if asked < 3:
        raise RetryIn(0.05)  # neither a failure nor a counted retry
    return f"answered at question {asked}, retried {current().retried}"


@app.task("refund")
async def refund(order: str) -> None:
    raise SkipRetry(f"order {order} was never paid")  # more tries cannot help


async def main() -> None:
    async with app, app.running():
        print(await (await pay.enqueue(30)).result(timeout=5))
        print(await (await ask.enqueue()).result(timeout=5))
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
# answered at question 3, retried 0
# refused: order A-7 was never paid
# state: archived
