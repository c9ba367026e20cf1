"""Handlers of the process lane that enqueue on the app of this module: its broker is `ASYNQIO_BROKER`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asynqio import App, Client, Inspector, Task
from asynqio.sync import Client as SyncClient

app = App(retention=60)


@app.task("child")
async def child(number: int) -> int:
    return number


async def enqueue(number: int) -> str:
    return (await child.enqueue(number)).id


def enqueue_sync(number: int) -> str:
    return child.enqueue_sync(number).id


def enqueue_on_a_new_loop(number: int) -> str:
    return asyncio.run(enqueue(number))


async def enqueue_with_a_client(number: int) -> str:
    async with Client() as client:
        return (await client.enqueue(Task.json("child", {"number": number}, retention=60))).id


def enqueue_with_a_blocking_client(number: int) -> str:
    with SyncClient() as client:
        return client.enqueue(Task.json("child", {"number": number}, retention=60)).id


async def inspect(number: int) -> str:
    async with Inspector() as inspector:
        await inspector.queues()
    return await enqueue(number)


HANDLERS: list[Callable[[int], Any]] = [
    enqueue,
    enqueue_sync,
    enqueue_on_a_new_loop,
    enqueue_with_a_client,
    enqueue_with_a_blocking_client,
    inspect,
]
