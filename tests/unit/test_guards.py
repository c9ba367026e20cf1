"""The guards in tests/conftest.py catch what they are for."""

from __future__ import annotations

import threading
import time

import pytest
from blockbuster import BlockingError

from tests.guards import leftovers


async def test_whatever_blocks_the_event_loop_raises() -> None:
    with pytest.raises(BlockingError, match=r"time\.sleep"):
        time.sleep(0.01)  # noqa: ASYNC251 (this is the point)


def test_outside_an_event_loop_blocking_is_fine() -> None:
    time.sleep(0)
    assert threading.current_thread() is threading.main_thread()


def test_a_thread_that_outlives_its_test_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.guards.GRACE", 0.01)
    before = threading.enumerate()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="forgotten")
    thread.start()
    try:
        assert leftovers(before) == ["forgotten"]
    finally:
        release.set()
        thread.join()
    assert leftovers(before) == []
