"""Web frameworks that run each async view on an event loop of its own, in any thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from flask import Flask

from asynqio import App
from tests.conformance.conftest import BROKERS, broker_url

REQUESTS = 12


@pytest.mark.parametrize("kind", [*BROKERS, "remote"])
def test_async_and_plain_views_enqueue_with_one_app(kind: str, tmp_path: Path) -> None:
    tasks, web = App(broker_url(kind, tmp_path)), Flask("web")

    @tasks.task("welcome")
    async def welcome(email: str) -> None: ...

    @web.post("/async")
    async def async_view() -> str:
        return (await welcome.enqueue("ann@example.org")).id

    @web.post("/plain")
    def plain_view() -> str:
        return welcome.enqueue_sync("ann@example.org").id

    def request(number: int) -> str:
        answer = web.test_client().post("/plain" if number % 3 else "/async")
        assert answer.status_code == 200
        return answer.text

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(request, range(REQUESTS)))

    async def pending() -> int:  # Django runs async code of plain views this way
        return (await tasks.inspector.queue("default")).pending

    assert len(set(ids)) == async_to_sync(pending)() == REQUESTS
    tasks.sync.close()
    asyncio.run(tasks.close())
