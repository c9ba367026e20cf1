"""Guards and fixtures for all tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

from asynqio.testing import FakeClock
from tests.brokers.remote.support.gateway import stop_shared_gateway
from tests.guards import leftovers

pytest_plugins = ["tests.brokers.redis.support.fixtures"]

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

_BEFORE = pytest.StashKey[list[threading.Thread]]()


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[BlockBuster]:
    """Code that blocks the event loop raises BlockingError."""
    with blockbuster_ctx() as guard:
        for function in guard.functions.values():
            # Async fixtures may start a shared server before the test.
            function.can_block_in(
                "tests/brokers/redis/support/fixtures.py", ["fresh_server", "fresh_cluster"]
            )
        yield guard


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember the threads that exist before the test."""
    item.stash[_BEFORE] = threading.enumerate()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test whose threads outlive it."""
    answer = yield
    before = item.stash[_BEFORE]
    if left := leftovers(before):
        pytest.fail(f"the test left threads behind: {', '.join(left)}", pytrace=False)
    return answer


def pytest_unconfigure() -> None:
    """Stop the gateway that tests share."""
    stop_shared_gateway()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that advances only when the test advances it."""
    return FakeClock()
