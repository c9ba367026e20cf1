"""The example App of compose.yaml: every few seconds an order arrives, and some of its tasks fail."""

from __future__ import annotations

import asyncio
import random

from asynqio import App

app = App(retention=600)  # ASYNQIO_BROKER names the broker


@app.task("mail:send", max_retry=3)
async def send_mail(to: str) -> None:
    await asyncio.sleep(random.uniform(0.05, 0.5))
    if random.random() < 0.1:
        raise ConnectionError("the mail server is busy")


@app.task("image:resize", queue="images")
def resize(name: str, width: int) -> str:
    return f"{name}-{width}.jpg"


@app.cron("@every 2s", name="orders")
@app.task("order:place")
async def place_order() -> None:
    order = random.randrange(10_000)
    await send_mail.enqueue(f"customer-{order}@example.org")
    for width in (80, 800):
        await resize.enqueue(f"order-{order}", width)
