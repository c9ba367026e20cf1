"""A deployment for each test, on each broker that several processes can share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Deployment
from tests.acceptance.stores import StoreProbe, new_store


@pytest.fixture(params=["sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    """The broker under test. A test may override it by a parameter `kind`."""
    return str(request.param)


@pytest.fixture
def store(kind: str, tmp_path: Path) -> StoreProbe:
    """An empty store for this test."""
    return new_store(kind, tmp_path)


@pytest.fixture
def deployment(store: StoreProbe, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(store, tmp_path)
    try:
        yield made
    finally:
        made.close()
