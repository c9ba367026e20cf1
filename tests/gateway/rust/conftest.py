"""Peers of the Rust crate asynq, connected to gateways before every kind of store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.rust.gateways import running
from tests.interop.rust.support.build import program
from tests.interop.rust.support.peers import Rust
from tests.interop.support.compiler import to_terminal

#: The account of a gateway without tenants: passwords may hold colons and any letter.
USER, PASSWORD = "worker", "p:ä ss/word"
#: Seconds.
SHORT_LEASE = 2.0


def pytest_itemcollected(item: pytest.Item) -> None:
    """The time limit of a test does not include the first build."""
    item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(scope="session")
def rust_program(pytestconfig: pytest.Config) -> Path:
    """The Rust program. The first build takes some minutes, so it shows its progress."""
    return program(to_terminal(pytestconfig))


@pytest.fixture
def rust(rust_program: Path, url: str, tmp_path: Path) -> Iterator[Rust]:
    """Rust peers on a gateway without authentication."""
    with running(url, tmp_path) as address:
        yield Rust(rust_program, address)


@pytest.fixture
def brisk_rust(rust_program: Path, url: str, tmp_path: Path) -> Iterator[Rust]:
    """The same, with a short lease."""
    with running(url, tmp_path, lease=SHORT_LEASE) as address:
        yield Rust(rust_program, address)


@pytest.fixture
def guarded(rust_program: Path, url: str, tmp_path: Path) -> Iterator[Rust]:
    """Rust peers with the account of a gateway."""
    with running(url, tmp_path, {"ASYNQ_USERNAME": USER, "ASYNQ_PASSWORD": PASSWORD}) as address:
        yield Rust(rust_program, address, user=USER, password=PASSWORD)


@pytest.fixture
def tenants(rust_program: Path, url: str, tmp_path: Path) -> Iterator[tuple[Rust, Rust]]:
    """Rust peers of two tenants of one gateway. The second one stores its queues with the prefix `b-queues`."""
    file = tmp_path / "tenants.json"
    file.touch(mode=0o600)
    accounts = [
        {"id": "a", "username": "user-a", "password": "password of a"},
        {"id": "b", "username": "user-b", "password": "password of b", "queue_prefix": "b-queues"},
    ]
    file.write_text(json.dumps(accounts))
    with running(url, tmp_path, {"ASYNQ_TENANT_CONFIG": str(file)}) as address:
        a, b = (
            Rust(rust_program, address, user=one["username"], password=one["password"]) for one in accounts
        )
        yield a, b
