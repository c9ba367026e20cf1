"""A stage for every test, cleared away after it, on each broker that several processes can share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.harness import Stage
from tests.acceptance.places import Place, fresh_place


@pytest.fixture(params=["sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    """The broker under test. A test that wants others is parametrized with `kind`."""
    return str(request.param)


@pytest.fixture
def place(kind: str, tmp_path: Path) -> Place:
    """Where the tasks of this test are kept."""
    return fresh_place(kind, tmp_path)


@pytest.fixture
def stage(place: Place, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(place, tmp_path)
    try:
        yield made
    finally:
        made.close()
