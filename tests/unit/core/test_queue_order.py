"""The order in which queues are polled."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.queue_order import QueueOrder

LOOKS = 20_000


def test_strict_order_is_by_weight_and_then_by_name() -> None:
    order = QueueOrder({"low": 1, "b": 3, "critical": 6, "a": 3}, strict=True)
    assert order.names == ("critical", "a", "b", "low")
    assert {tuple(order.next(Random(seed))) for seed in range(50)} == {order.names}


@pytest.mark.parametrize(
    "weights", [{"high": 6, "low": 1}, {"a": 3, "b": 2, "c": 1}, {"a": 1, "b": 1}, {"a": 600, "b": 100}]
)
def test_a_queue_is_first_in_proportion_to_its_weight(weights: dict[str, int]) -> None:
    order, random = QueueOrder(weights), Random(42)
    first = Counter(order.next(random)[0] for _ in range(LOOKS))
    for name, weight in weights.items():
        assert first[name] / LOOKS == pytest.approx(weight / sum(weights.values()), abs=0.05)


def test_a_queue_of_weight_6_precedes_one_of_weight_1_in_six_of_seven_polls() -> None:
    order, random = QueueOrder({"high": 6, "middle": 3, "low": 1}), Random(42)
    looks = [order.next(random) for _ in range(LOOKS)]
    before = sum(look.index("high") < look.index("low") for look in looks)
    assert before / LOOKS == pytest.approx(6 / 7, abs=0.05)


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 9), min_size=1), st.booleans(), st.integers())
def test_each_poll_contains_each_queue_once(weights: dict[str, int], strict: bool, seed: int) -> None:
    look = QueueOrder(weights, strict=strict).next(Random(seed))
    assert sorted(look) == sorted(weights)


def test_the_same_random_numbers_give_the_same_order() -> None:
    order = QueueOrder({"a": 2, "b": 3, "c": 1})
    one, two = Random(7), Random(7)
    assert [order.next(one) for _ in range(99)] == [order.next(two) for _ in range(99)]


def test_large_weights_cost_no_more_than_small_ones() -> None:
    assert len(QueueOrder({"a": 6_000_000, "b": 3_000_000})._tickets) == 3


def test_a_single_queue_is_always_first() -> None:
    assert QueueOrder({"only": 5}).next(Random(1)) == ("only",)
