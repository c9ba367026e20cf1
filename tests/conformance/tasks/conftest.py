"""The operations on tasks run before Redis behind a gateway as well."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import BROKERS, REMOTE, WRAPPERS


@pytest.fixture(params=[*BROKERS, *REMOTE, *WRAPPERS])
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the broker under test."""
    return str(request.param)
