"""The URLs and permissions in the guide to Redis are valid."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio import App, Task
from asynqio.brokers.redis.settings import OPTIONS
from asynqio.brokers.redis.url import parse
from tests.brokers.redis.support.servers import RedisServer
from tests.pages import ROOT
from tests.runtime.waiting import gone, within

GUIDE = (ROOT / "docs" / "guides" / "redis.md").read_text()
URLS = [
    url.strip().replace("…", "host/main" if "sentinel" in url else "host")
    for row in re.findall(r"^\| ((?:redis|valkey)\S*:/.*?) \|", GUIDE, re.MULTILINE)
    for url in re.split(r", (?=redis|valkey)", row)
]


@pytest.mark.parametrize("url", URLS)
def test_urls_of_the_guide_are_valid(url: str) -> None:
    settings = parse(url)
    assert settings.nodes or settings.path


def test_the_guide_lists_every_option() -> None:
    rows = re.findall(r"^\| (\?.*?) \|", GUIDE, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"\?(\w+)=", row)}
    assert listed == {*OPTIONS, "db", "sentinel_username", "sentinel_password"}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server whose user has the permissions of the guide."""
    rights = re.findall(r"^ACL SETUSER worker on >password (.*)$", GUIDE, re.MULTILINE)
    with RedisServer(tmp_path / "redis", users={"worker": rights[0]}) as server:
        yield server


async def test_the_permissions_in_the_guide_suffice(
    guarded: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    started = asyncio.Event()
    async with App(guarded.url) as app:

        @app.task("work", retention=60)
        async def work() -> str:
            return "done"

        @app.task("endless")
        async def endless() -> None:
            started.set()
            await asyncio.Event().wait()

        @app.aggregate
        def merge(group: str, members: object) -> Task:
            return Task("merged")

        @app.task("merged")
        async def merged() -> None: ...

        async with app.running(group_max_size=1):
            assert await within((await work.enqueue()).result()) == "done"
            late = await work.with_options(process_in=0.1).enqueue()
            assert await within(late.result()) == "done"
            await gone(app, await app.enqueue(Task("part"), group="g"))
            handle = await endless.with_options(max_retry=0).enqueue()
            await within(started.wait())
            await app.broker.cancel([handle.info.ref])
            await app.broker.sweep(["default"], 10)
            assert len(await app.broker.servers()) == 1
        await app.broker.remove_queue("default", force=True)
    assert "NOPERM" not in caplog.text
