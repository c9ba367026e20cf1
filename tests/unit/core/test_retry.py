"""The delay before the next attempt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.retry import (
    ExponentialRetry,
    FixedRetry,
    GoRetry,
    PortableRetry,
    RetryByException,
    RetryFunction,
    as_policy,
    from_header,
    to_header,
)
from asynqio.errors import ConfigError
from tests.builders import message

ERROR = ValueError("no")
MESSAGE = message("a")
chances = st.floats(0, 1)


@pytest.mark.parametrize(("retried", "least", "most"), [(0, 15, 44), (1, 16, 74), (5, 640, 814)])
def test_go_retry_has_the_bounds_of_go(retried: int, least: float, most: float) -> None:
    assert GoRetry().delay(retried, ERROR, MESSAGE, 0.0) == least
    assert GoRetry().delay(retried, ERROR, MESSAGE, 0.999999) == most
    assert GoRetry().delay(retried, ERROR, MESSAGE, 1.0) == most


@given(st.integers(0, 2**31 - 1), chances)
def test_go_retry_has_the_formula_of_go(retried: int, chance: float) -> None:
    delay = GoRetry().delay(retried, ERROR, MESSAGE, chance)
    spread = min(int(chance * 30), 29)
    assert delay == float(retried**4 + 15 + spread * (retried + 1))


def test_go_retry_draws_thirty_whole_numbers_evenly() -> None:
    draws = [GoRetry().delay(0, ERROR, MESSAGE, n / 3000) - 15 for n in range(3000)]
    assert {number: draws.count(number) for number in set(draws)} == {float(n): 100 for n in range(30)}


def test_a_fixed_delay_is_fixed() -> None:
    assert {FixedRetry(7.5).delay(n, ERROR, MESSAGE, n / 100) for n in range(100)} == {7.5}


@pytest.mark.parametrize(("retried", "delay"), [(0, 1.0), (1, 2.0), (5, 32.0), (11, 2048.0), (12, 3600.0)])
def test_an_exponential_delay_doubles_up_to_its_cap(retried: int, delay: float) -> None:
    assert ExponentialRetry(jitter=0).delay(retried, ERROR, MESSAGE, 0.3) == delay


@pytest.mark.parametrize("retried", [1023, 1024, 5000, 2**31 - 1])
def test_an_exponential_delay_never_overflows(retried: int) -> None:
    assert ExponentialRetry(jitter=0).delay(retried, ERROR, MESSAGE, 0) == 3600
    assert ExponentialRetry(first=0.0).delay(retried, ERROR, MESSAGE, 1) == 0


@given(
    st.builds(
        ExponentialRetry,
        first=st.floats(0, 1e300),
        factor=st.floats(1, 1e300),
        cap=st.floats(0, 1e9),
        jitter=st.floats(0, 1),
    ),
    st.integers(0, 10**6),
    chances,
)
def test_an_exponential_delay_is_between_its_share_and_its_cap(
    policy: ExponentialRetry, retried: int, chance: float
) -> None:
    delay = policy.delay(retried, ERROR, MESSAGE, chance)
    assert 0 <= delay <= policy.cap * (1 + 1e-12)
    full = ExponentialRetry(policy.first, policy.factor, policy.cap, 0.0).delay(retried, ERROR, MESSAGE, 0)
    assert full * (1 - policy.jitter) * (1 - 1e-12) <= delay <= full * (1 + 1e-12)


def test_jitter_is_random() -> None:
    policy = ExponentialRetry(first=100, jitter=0.2)
    assert policy.delay(0, ERROR, MESSAGE, 0.0) == pytest.approx(80)
    assert policy.delay(0, ERROR, MESSAGE, 1.0) == pytest.approx(100)


def test_the_first_matching_exception_class_applies() -> None:
    policy = RetryByException({KeyError: FixedRetry(1), LookupError: FixedRetry(2)}, FixedRetry(3))
    delays = [policy.delay(0, error, MESSAGE, 0) for error in (KeyError(), IndexError(), ValueError())]
    assert delays == [1, 2, 3]


def test_other_errors_use_go_retry_by_default() -> None:
    assert RetryByException({}).delay(0, ERROR, MESSAGE, 0) == 15


@pytest.mark.parametrize("answer", [90, 90.0, timedelta(minutes=1, seconds=30)])
def test_a_function_may_return_seconds_or_a_timedelta(answer: Any) -> None:
    assert RetryFunction(lambda retried, error, message: answer).delay(0, ERROR, MESSAGE, 0) == 90.0


def test_as_policy_returns_a_policy_unchanged_and_wraps_a_function() -> None:
    policy = FixedRetry(5)
    assert as_policy(policy) is policy
    assert as_policy(lambda retried, error, message: retried + 1.0).delay(4, ERROR, MESSAGE, 0) == 5


portable: st.SearchStrategy[PortableRetry] = st.one_of(
    st.just(GoRetry()),
    st.builds(FixedRetry, st.floats(0, 1e9)),
    st.builds(ExponentialRetry, st.floats(0, 10), st.floats(1, 9), st.floats(0, 1e9), st.floats(0, 1)),
)


@given(portable)
def test_a_policy_survives_encoding_in_a_header(policy: PortableRetry) -> None:
    assert from_header(to_header(policy)) == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "null",
        "{}",
        "[]",
        "exponential",
        '{"type":"linear"}',
        '{"type":"fixed","seconds":-1}',
        '{"type":"fixed","seconds":"soon"}',
        '{"type":"fixed","seconds":1e999}',
        '{"type":"exponential","factor":0.5}',
        '{"type":"exponential","jitter":2}',
        '{"type":"go","x":' + "[" * 100_000,
        "\x00",
        "half \ud800 pair",
    ],
    ids=range(15),
)
def test_an_invalid_header_gives_no_policy(text: str) -> None:
    assert from_header(text) is None


@given(st.text(st.characters()))
def test_no_header_text_raises(text: str) -> None:
    assert from_header(text) is None


@pytest.mark.parametrize("bad", [-1, -0.001, float("nan"), float("inf"), "10", None, [5], timedelta(1)])
def test_an_invalid_policy_is_rejected_with_a_reason(bad: Any) -> None:
    with pytest.raises(ConfigError, match=r"FixedRetry\(seconds=.*must be a number of at least 0"):
        FixedRetry(bad)
    with pytest.raises(ConfigError, match="must be a number of at least 0"):
        ExponentialRetry(first=bad)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        ExponentialRetry(first=-1, cap=-2)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("wrong", [{"factor": 0.5}, {"jitter": 1.5}])
def test_factor_and_jitter_of_an_exponential_policy_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="factor must be at least 1 and jitter at most 1"):
        ExponentialRetry(**wrong)
