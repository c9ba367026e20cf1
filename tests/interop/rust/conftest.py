"""Rust and asynqio peers on a shared Redis server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.brokers.redis.support.servers import RedisServer
from tests.interop.rust.support.build import program
from tests.interop.rust.support.peers import Rust
from tests.interop.support.compiler import to_terminal


def pytest_itemcollected(item: pytest.Item) -> None:
    """The time limit of a test does not include the first build."""
    item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(scope="session")
def rust_program(pytestconfig: pytest.Config) -> Path:
    """The Rust program. The first build takes some minutes, so it shows its progress."""
    return program(to_terminal(pytestconfig))


@pytest.fixture
def rust(rust_program: Path, redis_server: RedisServer) -> Rust:
    """Rust peers on the shared, empty Redis server."""
    return Rust(rust_program, redis_server.url)
