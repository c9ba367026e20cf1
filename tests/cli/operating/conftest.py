"""A store with known contents, on SQLite and on Redis, and a shell that runs commands on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.brokers.redis.support.fixtures import redis_url
from tests.cli.support.shell import Shell, fill


@pytest.fixture(autouse=True)
def no_blocking() -> None:
    """A command may block its event loop: nothing else runs there."""


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/tasks.db" if request.param == "sqlite" else redis_url()


@pytest.fixture
def shell(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs commands on a store with known contents."""
    shell = Shell(url, monkeypatch, capsys)
    shell.on_store(fill)
    return shell
