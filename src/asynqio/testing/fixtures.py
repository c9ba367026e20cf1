"""The pytest plugin, loaded through the entry point in pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from asynqio.app.app import App
    from asynqio.testing.clock import FakeClock
    from asynqio.testing.inline import AppTesting


@pytest.fixture
def asynqio_clock() -> FakeClock:
    """A clock that advances only when the test advances it."""
    from asynqio.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def asynqio_isolated(asynqio_clock: FakeClock) -> Iterator[Callable[[App], AppTesting]]:
    """`testing = asynqio_isolated(app)` runs the app on a new memory broker until the test ends."""
    from asynqio.testing.inline import isolated

    with ExitStack() as stack:
        yield lambda app: stack.enter_context(isolated(app, asynqio_clock))
