"""When a group of tasks is ripe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.groups import BATCH_MEMBERS, GroupRule, GroupRules, failed_again, policy_id

NOW = 1000.0


@pytest.mark.parametrize(
    ("rule", "size", "oldest", "newest", "count"),
    [
        # no members
        (GroupRule(), 0, 0, 0, 0),
        # grace: no member joined for that long
        (GroupRule(grace=60), 3, 900, 941, 0),
        (GroupRule(grace=60), 3, 900, 940, 3),
        (GroupRule(grace=0), 1, 1000, 1000, 1),
        # max_delay: the oldest member has waited that long
        (GroupRule(grace=60, max_delay=100), 3, 901, 999, 0),
        (GroupRule(grace=60, max_delay=100), 3, 900, 999, 3),
        (GroupRule(grace=60, max_delay=0), 3, 0, 999, 0),
        # max_size: at once, and never more
        (GroupRule(grace=60, max_size=5), 4, 999, 999, 0),
        (GroupRule(grace=60, max_size=5), 5, 999, 999, 5),
        (GroupRule(grace=60, max_size=5), 12, 999, 999, 5),
        (GroupRule(grace=60, max_size=5), 4, 900, 940, 4),
        (GroupRule(grace=60, max_delay=100, max_size=5), 3, 900, 999, 3),
    ],
)
def test_a_group_is_ripe_by_size_delay_or_grace(
    rule: GroupRule, size: int, oldest: float, newest: float, count: int
) -> None:
    assert rule.ripe(size, oldest, newest, NOW) == count


def test_exact_rules_match_whole_names() -> None:
    rule = GroupRule(grace=1.0)
    policy = GroupRules({"daily": rule, "": rule}, exact=True)
    assert [policy.rule_for(name) for name in ("daily", "daily2", "dail", "x")] == [rule, None, None, None]
    assert not GroupRules({}).exact
    assert not rule.exact


@pytest.mark.parametrize(
    ("rule", "size", "flushed", "count"),
    [
        # flushed: all members, while one that joined before the flush is in the group
        (GroupRule(grace=60), 3, 0.0, 0),
        (GroupRule(grace=60), 3, 989.0, 0),
        (GroupRule(grace=60), 3, 990.0, 3),
        (GroupRule(grace=60, max_size=2), 1, 990.0, 1),
        # a batch is bounded for every rule
        (GroupRule(grace=0), BATCH_MEMBERS + 1, 0.0, BATCH_MEMBERS),
        (GroupRule(grace=60), BATCH_MEMBERS + 1, 990.0, BATCH_MEMBERS),
        (GroupRule(grace=60), BATCH_MEMBERS + 1, 0.0, 0),
        (GroupRule(grace=60, max_size=5_000), BATCH_MEMBERS, 0.0, BATCH_MEMBERS),
        (GroupRule(grace=60, max_size=5_000), BATCH_MEMBERS - 1, 0.0, 0),
    ],
)
def test_a_flushed_group_is_ripe_and_batches_are_bounded(
    rule: GroupRule, size: int, flushed: float, count: int
) -> None:
    assert rule.ripe(size, 990.0, NOW, NOW, flushed) == count


def test_an_equal_name_wins_over_the_longest_prefix() -> None:
    rules = GroupRules({pattern: GroupRule(max_size=len(pattern)) for pattern in ("", "user:", "user:1")})
    sizes = {group: rules.rule_for(group) for group in ("user:1", "user:12", "user:2", "shop", "")}
    found = {group: rule.max_size for group, rule in sizes.items() if rule is not None}
    assert found == {"user:1": 6, "user:12": 6, "user:2": 5, "shop": 0, "": 0}
    assert GroupRules({"user:": GroupRule()}).rule_for("use") is None


rules = st.builds(
    GroupRule,
    grace=st.integers(0, 100).map(float),
    max_delay=st.integers(0, 100).map(float),
    max_size=st.integers(0, 5),
)


@given(rules, st.integers(1, 9), st.integers(0, 200), st.integers(0, 200))
def test_a_group_becomes_ripe_exactly_at_ripe_at(
    rule: GroupRule, size: int, oldest: int, spread: int
) -> None:
    newest = oldest + spread
    at = rule.ripe_at(size, oldest, newest)
    if rule.max_size and size >= rule.max_size:
        assert rule.ripe(size, oldest, newest, oldest) == rule.max_size
    else:
        assert rule.ripe(size, oldest, newest, at - 1) == 0
        assert rule.ripe(size, oldest, newest, at) == size


@given(rules, st.integers(1, 9), st.integers(0, 200), st.integers(0, 200), st.integers(1, 500))
def test_a_failed_group_is_ripe_at_its_retry_unless_it_is_flushed(
    rule: GroupRule, size: int, oldest: int, spread: int, retry_at: int
) -> None:
    newest = oldest + spread
    at = rule.ripe_at(size, oldest, newest, retry_at)
    assert at >= retry_at
    assert rule.ripe(size, oldest, newest, retry_at - 1, 0.0, retry_at) == 0
    assert rule.ripe(size, oldest, newest, at, 0.0, retry_at) == rule.ripe(size, oldest, newest, at) > 0
    assert rule.ripe(size, oldest, newest, retry_at - 1, newest + 1, retry_at) > 0


def test_the_delay_doubles_with_each_failure_in_a_row() -> None:
    failure, delays = None, []
    for _ in range(12):
        failure = failed_again(failure, "broken", NOW, 900.0)
        delays.append(failure.retry_at - NOW)
    assert failure is not None
    assert (failure.failures, failure.oldest_at) == (12, 900.0)
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_a_policy_id_depends_on_the_rules_alone() -> None:
    one = GroupRules({"a": GroupRule(grace=1), "b": GroupRule()})
    same = GroupRules({"b": GroupRule(), "a": GroupRule(grace=1)})
    other = GroupRules({"a": GroupRule(grace=2), "b": GroupRule()})
    assert policy_id(one) == policy_id(same) != policy_id(other)
    assert policy_id(GroupRule()) == policy_id(GroupRules({"": GroupRule()}))


@given(rules, st.integers(0, 9), st.integers(0, 200), st.integers(0, 200), st.integers(0, 500))
def test_a_batch_has_at_most_the_members_and_the_limit(
    rule: GroupRule, size: int, oldest: int, spread: int, now: int
) -> None:
    count = rule.ripe(size, oldest, oldest + spread, now)
    assert 0 <= count <= size
    assert not rule.max_size or count <= rule.max_size
