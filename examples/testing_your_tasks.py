"""Testing: assert what was enqueued, run it in the test, advance the clock; no worker, no sleep."""

import asyncio

from asynqio import App, FixedRetry
from asynqio.testing import isolated

app = App("sqlite:////srv/shop/tasks.db")  # for production; a test never touches it
stock = {"pen": 1}


@app.task("order", max_retry=3, retry=FixedRetry(60))
async def order(article: str) -> None:
    if stock[article] == 0:
        raise LookupError(f"{article} out of stock")
    stock[article] -= 1
    await thank.with_options(process_in=86_400).enqueue(article)


@app.task("thank")
def thank(article: str) -> None:
    print("thanks for buying a", article)


async def test_order() -> None:
    with isolated(app) as testing:
        await order.enqueue("pen")
        print("enqueued:", [(task.type, task.load()) for task in testing.enqueued()])
        print("attempts:", await testing.run_all())
        print("waiting:", [(task.type, task.state.value) for task in testing.enqueued()])
        testing.clock.advance(86_400)  # a day later
        await testing.run_all()


async def test_sold_out_is_retried() -> None:
    with isolated(app) as testing:
        await order.enqueue("pen")
        try:
            await testing.run_all()
        except LookupError as error:
            print("failed:", error)
        stock["pen"] = 1
        testing.clock.advance(60)
        print("attempts:", await testing.run_all())


if __name__ == "__main__":
    asyncio.run(test_order())
    asyncio.run(test_sold_out_is_retried())

# Output:
# enqueued: [('order', {'article': 'pen'})]
# attempts: 1
# waiting: [('thank', 'scheduled')]
# thanks for buying a pen
# failed: pen out of stock
# attempts: 1
