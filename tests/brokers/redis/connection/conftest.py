"""Servers that a test may kill, freeze or configure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.redis.support.servers import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test only."""
    with RedisServer(tmp_path / "own") as server:
        yield server
