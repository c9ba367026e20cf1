"""The tasks of the demo, declared as an application would. Task processes import this module."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Unpack

from asynqio import App, ExponentialRetry, RetryIn, SkipRetry, Task, TaskOptions

#: The queues and their weights. The prefix separates them from other queues of the same broker.
PREFIX = "demo-"
CRITICAL, DEFAULT, LOW = f"{PREFIX}critical", f"{PREFIX}default", f"{PREFIX}low"
QUEUES = {CRITICAL: 6, DEFAULT: 3, LOW: 1}

#: Short delays, so that retries are visible.
SOON = ExponentialRetry(first=0.5, factor=2, cap=4, jitter=0.4)

app = App("memory://")


class PartnerDown(Exception):
    """The receiver of a webhook does not respond."""


@app.task("email:send", queue=CRITICAL, timeout=10)
async def send_email(to: str, subject: str) -> None:
    """Runs on the event loop: it only waits for a mail server."""
    await asyncio.sleep(random.uniform(0.01, 0.08))


@app.task("reminder:send", queue=CRITICAL, timeout=10)
async def send_reminder(to: str) -> None:
    """Enqueued now, due in a few seconds."""
    await asyncio.sleep(random.uniform(0.01, 0.03))


@app.task("webhook:call", queue=DEFAULT, max_retry=4, retry=SOON, timeout=10)
async def call_webhook(partner: str, event: str) -> None:
    """Fails sometimes and is retried; one partner never responds, and its tasks end in the archive."""
    await asyncio.sleep(random.uniform(0.02, 0.12))
    if partner == "legacy.example.com":
        raise PartnerDown("connection refused")
    luck = random.random()
    if luck < 0.15:
        raise PartnerDown("503 Service Unavailable")
    if luck < 0.20:
        raise RetryIn(1.5, "429 Too Many Requests")  # a deferral: neither a failure nor a counted retry


@app.task("report:build", queue=DEFAULT, retention=30, timeout=30)
def build_report(month: str) -> dict[str, float]:
    """A plain function: runs in a thread. The producer awaits the result."""
    time.sleep(random.uniform(0.05, 0.25))  # a slow database
    return {"orders": random.randint(500, 5_000), "revenue": round(random.uniform(1e4, 9e4), 2)}


@app.task("contact:sync", queue=DEFAULT, unique=60, timeout=10)
async def sync_contact(customer: str) -> None:
    """Unique: duplicates are refused while one is waiting or running."""
    await asyncio.sleep(random.uniform(0.3, 0.9))


@app.task("image:resize", queue=LOW, run_in="process", timeout=20)
def resize_image(name: str, size: int, width: int) -> int:
    """CPU-bound: runs in a process, so that the event loop stays free. Returns the size of the result in bytes."""
    if name.startswith("broken"):
        raise SkipRetry("not an image; retrying does not help")
    pixels = bytearray((x * y) & 0xFF for y in range(size) for x in range(size))
    step = size // width
    small = bytearray(width * width)
    for y in range(width):
        for x in range(width):
            box = 0
            for row in range(y * step, y * step + step):
                start = row * size + x * step
                box += sum(pixels[start : start + step])
            small[y * width + x] = box // (step * step)
    return len(small)


@app.task("digest:send", queue=LOW, timeout=10)
async def send_digest(headlines: list[str]) -> None:
    """One e-mail for a group of news items."""
    await asyncio.sleep(random.uniform(0.05, 0.1))


@app.task("news:add", queue=LOW)
async def add_news(headline: str) -> None:
    """Never runs: its tasks are members of a group, and the group becomes one digest."""


def make_digest(news: Sequence[Task], **options: Unpack[TaskOptions]) -> Task:
    """Build the digest task of a group of news items."""
    headlines = [str(item.load(dict[str, str])["headline"]) for item in news]
    return send_digest.with_options(**options).task(headlines)
