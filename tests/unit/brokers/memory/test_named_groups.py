"""The cost of claims by name: one look at each named group, and no index."""

from __future__ import annotations

from collections.abc import Iterator

from asynqio.brokers.memory.operations.enqueue import enqueue
from asynqio.brokers.memory.operations.groups import claim_groups
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.brokers.memory.storage.timeline import Timeline
from asynqio.core.groups import GroupRule, GroupRules
from asynqio.testing.clock import START
from tests.builders import entry


class Groups(dict[str, Timeline]):
    """Groups that are only looked up, never listed."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all groups are read")


def test_only_the_named_groups_are_looked_at() -> None:
    store = MemoryStore()
    enqueue(store, START, [entry(group=f"g{number}") for number in range(100)])
    queue = store.queues["default"]
    queue.groups = Groups(queue.groups.items())
    rule = GroupRule(grace=5.0)
    for number in range(100):
        policy = GroupRules({f"g{number}": rule, "ghost": rule}, exact=True)
        assert claim_groups(store, START, ["default"], policy, 9) == ([], START + 5)
    [batch] = claim_groups(store, START + 5, ["default"], GroupRules({"g1": rule}, exact=True), 9).batches
    assert batch.group == "g1"
    assert queue.index._due == {}, "a change would have to be noted for each policy"
