"""Ids of tasks: UUIDs that begin with the time, and that no two tasks share."""

from __future__ import annotations

import multiprocessing
import uuid
from concurrent.futures import ThreadPoolExecutor

from asynqio.brokers.contract import processes
from asynqio.core.task.ids import new_id

START = 1_763_797_076.123_456


def new_ids(count: int) -> list[str]:
    return [new_id(START) for _ in range(count)]


def test_ids_are_uuids_of_version_7_that_sort_by_time_to_the_microsecond() -> None:
    ids = [new_id(START + step * 1e-6) for step in range(0, 5_000, 3)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    for id in map(uuid.UUID, ids):
        assert (id.version, id.variant) == (7, uuid.RFC_4122)
    assert uuid.UUID(ids[0]).int >> 80 == 1_763_797_076_123


def test_ids_of_the_same_time_differ_in_all_random_bits() -> None:
    numbers = [uuid.UUID(id).int for id in new_ids(1_000)]
    assert len(set(numbers)) == 1_000
    changing = 0
    for number in numbers:
        changing |= number ^ numbers[0]
    assert changing == 2**62 - 1


def test_threads_get_different_ids() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = [id for some in pool.map(new_ids, [5_000] * 8) for id in some]
    assert len(set(ids)) == 40_000


def test_a_forked_child_gets_other_ids_than_its_parent() -> None:
    assert not processes.is_forked()
    new_id(START)  # the parent has a supply now
    with multiprocessing.get_context("fork").Pool(2) as pool:
        ids = [id for some in pool.map(new_ids, [200] * 8) for id in some]
    ids += new_ids(200)
    assert len(set(ids)) == 1_800
