"""`asynqio task ls --page` without a filter seeks: it reads the tasks of its page only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from asynqio import Inspector
from asynqio.brokers import open_broker
from asynqio.cli.task.show import Page, _fetch
from asynqio.core.filters import Filter
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock, Flaky
from tests.builders import entry
from tests.conformance.conftest import BROKERS, broker_url
from tests.conformance.helpers import put, put_in_state


@pytest.fixture(params=BROKERS)
async def flaky(request: pytest.FixtureRequest, tmp_path: object, clock: FakeClock) -> AsyncIterator[Flaky]:
    async with open_broker(broker_url(request.param, tmp_path), clock=clock) as store:  # type: ignore[arg-type]
        for queue in ("a", "b", "c"):
            for number in range(3):
                one = entry(f"archived-{number}", queue=queue)
                await put_in_state(store, clock, TaskState.ARCHIVED, one)
                clock.advance(1)
            await put(store, *(entry(f"pending-{number}", queue=queue) for number in range(7)))
            await put(
                store, *(entry(f"due-{number}", queue=queue, at=clock.now() + 60) for number in range(4))
            )
            for group in ("one", "two"):
                await put(
                    store, *(entry(f"{group}-{number}", queue=queue, group=group) for number in range(3))
                )
        await store.pause("empty", True)
        yield Flaky(store)


def page(size: int, number: int, queue: str | None, states: Sequence[str], group: str = "") -> Page:
    return Page(queue, tuple(states), group, (), size, number)


@pytest.mark.parametrize(
    ("queue", "states", "group"),
    [
        (None, (), ""),
        ("b", (), ""),
        (None, ("pending",), ""),
        (None, ("archived", "scheduled"), ""),
        ("c", ("aggregating", "pending"), "one"),
        (None, ("aggregating",), "two"),
        ("a", ("aggregating",), "two"),
        ("a", ("pending",), ""),
        ("empty", (), ""),
    ],
)
async def test_pages_make_up_the_whole_list(
    flaky: Flaky, queue: str | None, states: Sequence[str], group: str
) -> None:
    async with Inspector(flaky.broker) as inspector:
        everything = await _fetch(inspector, page(1_000, 1, queue, states, group), Filter())
        for size in (1, 4, 7, 100):
            paged = []
            for number in range(1, len(everything) // size + 3):
                paged += await _fetch(inspector, page(size, number, queue, states, group), Filter())
            assert [info.ref for info in paged] == [info.ref for info in everything]
    assert "scan" not in flaky.calls
    wanted = {"a": 20, "b": 20, "c": 20} if queue is None else {}
    if queue is None and not states:
        assert len(everything) == sum(wanted.values())


async def test_a_page_reads_only_its_own_tasks(flaky: Flaky) -> None:
    async with Inspector(flaky.broker) as inspector:
        flaky.calls.clear()
        found = await _fetch(inspector, page(5, 6, None, ()), Filter())
        assert len(found) == 5
        assert flaky.calls.get("tasks", 0) <= 3
