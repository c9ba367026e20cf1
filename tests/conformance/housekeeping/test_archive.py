"""Rule 15: URL options limit the archive, and evicted tasks are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Where
from asynqio.brokers.contract.limits import ARCHIVE_LIMIT
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import ConfigError
from asynqio.testing import FakeClock
from tests.builders import entry
from tests.conformance.conftest import broker_of, make_store
from tests.conformance.helpers import ids, put, put_in_state


@pytest.fixture
async def small(kind: str, url: str, clock: FakeClock) -> AsyncIterator[Store]:
    """A store whose archives keep three tasks for a minute."""
    async with make_store(kind, f"{url}?archive_limit=3&archive_age=60", clock) as store:
        yield store


async def evicted(broker: Store) -> tuple[int, int]:
    [stats] = await broker.stats(["default"])
    return stats.archived, stats.evicted_total


async def test_b12_the_url_limits_the_number_of_archived_tasks(small: Store, clock: FakeClock) -> None:
    # By workers
    for id in "abcde":
        await put_in_state(small, clock, TaskState.ARCHIVED, entry(id))
        clock.advance(1)
    assert await ids(small, TaskState.ARCHIVED) == ["e", "d", "c"]
    assert await evicted(small) == (3, 2)
    # and by operators
    await put(small, *map(entry, "xy"))
    assert await small.move_all(Action.ARCHIVE, Where("default", TaskState.PENDING)) == 2
    assert sorted(await ids(small, TaskState.ARCHIVED)) == ["e", "x", "y"]
    assert await evicted(small) == (3, 4)


async def test_b12_the_url_limits_the_age_of_archived_tasks(small: Store, clock: FakeClock) -> None:
    await put_in_state(small, clock, TaskState.ARCHIVED, entry("a"))
    clock.advance(59)
    await small.sweep(["default"], 10)
    assert await evicted(small) == (1, 0)
    clock.advance(1)
    await small.sweep(["default"], 10)
    assert await evicted(small) == (0, 1)


async def test_b12_transferred_tasks_count_against_the_archive_limit(small: Store, clock: FakeClock) -> None:
    for id in "abcd":
        await put_in_state(small, clock, TaskState.ARCHIVED, entry(id, queue="other"))
        await small.transfer([TaskRef("other", id)], "default")
        clock.advance(1)
    assert await ids(small, TaskState.ARCHIVED) == ["d", "c", "b"]
    assert await evicted(small) == (3, 1)


def test_the_options_survive_in_the_url_of_another_process(kind: str, url: str) -> None:
    if broker_of(kind) == "memory":
        return  # other processes cannot open it, or its gateway has the options
    whole = open_broker(f"{url}?archive_limit=7").private_url
    assert "archive_limit=7" in whole
    assert str(ARCHIVE_LIMIT) not in whole


@pytest.mark.parametrize(
    "option", ["archive_limit=0", "archive_limit=-1", "archive_limit=x", "archive_age=nan"]
)
def test_an_archive_limit_of_zero_is_refused(url: str, option: str) -> None:
    with pytest.raises(ConfigError, match="archive_"):
        open_broker(f"{url}?{option}")


def test_memory_has_no_other_options() -> None:
    with pytest.raises(ConfigError, match="no option 'x'"):
        open_broker("memory://?x=1")
