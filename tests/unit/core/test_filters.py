"""Filters: what matches, what does not, and what is rejected."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio.core.filters import MAX_FIELDS, MAX_STEPS, MAX_TEXT, Filter, id_created_at
from asynqio.core.task.ids import new_id
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.errors import InvalidFilter

NOW = 1_800_000_000.0


def info(**fields: Any) -> TaskInfo:
    return TaskInfo(**{"id": "a1", "type": "email:send", "state": TaskState.PENDING, **fields})


@pytest.mark.parametrize(
    ("pattern", "type", "like"),
    [
        ("email:send", "email:send", True),
        ("email", "email:send", False),
        ("email:*", "email:send", True),
        ("*send", "email:send", True),
        ("*", "email:send", True),
        ("e*l:*d", "email:send", True),
        ("e*l*l*", "email:send", False),
        ("email:send*email:send", "email:send", False),
        ("a*b*a", "aba", True),
        ("a*a", "a", False),
        ("**", "", True),
        ("email:sen?", "email:send", False),
        ("EMAIL:*", "email:send", False),
    ],
)
def test_types_match_with_stars(pattern: str, type: str, like: bool) -> None:
    assert Filter(type=pattern).matches(info(type=type), NOW) is like


PAYLOAD = b'{"customer":{"id":42,"name":"Ann"},"items":[{"sku":"x"}],"paid":true,"note":null,"zip":"01234"}'


@pytest.mark.parametrize(
    ("path", "value", "like"),
    [
        ("customer.id", 42, True),
        ("customer.id", 42.0, True),
        ("customer.id", "42", False),
        ("customer", {"id": 42, "name": "Ann"}, True),
        ("customer.name", "Ann", True),
        ("customer.name", "ann", False),
        ("items.0.sku", "x", True),
        ("items.1.sku", "x", False),
        ("items.-1.sku", "x", False),
        ("items.999999999999.sku", "x", False),
        ("paid", True, True),
        ("paid", 1, False),
        ("note", None, True),
        ("nothing", None, False),
        ("customer.id.deeper", 42, False),
        ("zip", "01234", True),
    ],
)
def test_payload_fields_match_by_their_path(path: str, value: Any, like: bool) -> None:
    assert Filter(payload={path: value}).matches(info(payload=PAYLOAD), NOW) is like


@pytest.mark.parametrize("payload", [None, b"", b"\xff\xfe", b"no json", b"[" * 100_000, b'"text"', b"7"])
def test_a_payload_without_the_field_does_not_match(payload: bytes | None) -> None:
    assert not Filter(payload={"a": 1}).matches(info(payload=payload), NOW)


def test_all_conditions_must_hold() -> None:
    one = Filter(type="email:*", payload={"paid": True}, payload_text="Ann", error="TIMED out", id_prefix="a")
    fitting = info(payload=PAYLOAD, last_error="TimeoutError: timed OUT after 3 s")
    assert one.matches(fitting, NOW)
    for other in (
        info(payload=PAYLOAD, last_error="no"),
        info(payload=PAYLOAD, last_error=fitting.last_error, id="b1"),
        info(payload=b'{"paid":true}', last_error=fitting.last_error),
        info(payload=PAYLOAD, last_error=fitting.last_error, type="sms:send"),
    ):
        assert not one.matches(other, NOW)
    assert Filter().matches(info(), NOW)


@pytest.mark.parametrize(
    ("fields", "age"),
    [
        ({"state": TaskState.PENDING, "pending_since": NOW - 100}, 100),
        ({"state": TaskState.COMPLETED, "completed_at": NOW - 100}, 100),
        ({"state": TaskState.ARCHIVED, "last_failed_at": NOW - 100}, 100),
        ({"state": TaskState.RETRY, "last_failed_at": NOW - 100}, 100),
        ({"state": TaskState.SCHEDULED, "id": new_id(NOW - 100)}, 100),
        ({"state": TaskState.ARCHIVED, "id": new_id(NOW - 100)}, 100),
        ({"state": TaskState.SCHEDULED, "id": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, None),
        ({"state": TaskState.SCHEDULED, "id": "my own id"}, None),
        ({"state": TaskState.SCHEDULED, "id": "xxxxxxxx-xxxx-7xxx-xxxx-xxxxxxxxxxxx"}, None),
    ],
)
def test_age_counts_from_the_known_time(fields: dict[str, Any], age: float | None) -> None:
    one = info(**fields)
    assert Filter(older_than=99).matches(one, NOW) is (age is not None)
    assert Filter(younger_than=101).matches(one, NOW) is (age is not None)
    assert not Filter(older_than=101).matches(one, NOW)
    assert not Filter(younger_than=99).matches(one, NOW)
    assert not Filter(older_than=50, younger_than=90).matches(one, NOW)


def test_a_generated_id_contains_its_creation_time() -> None:
    assert id_created_at(new_id(NOW)) == pytest.approx(NOW, abs=0.001)


def test_a_filter_is_parsed_from_conditions() -> None:
    found = Filter.parse(
        [
            "type=email:*",
            "payload.customer.id=42",
            "payload.name=Ann = Bob",
            'payload.zip="42"',
            "payload.paid=true",
            "payload=needle",
            "error=timed out",
            "id=0190",
            "older=1h30m",
            "younger=2d",
        ]
    )
    assert found == Filter(
        type="email:*",
        payload={"customer.id": 42, "name": "Ann = Bob", "zip": "42", "paid": True},
        payload_text="needle",
        error="timed out",
        id_prefix="0190",
        older_than=5400,
        younger_than=172_800,
    )
    assert Filter.parse([]) == Filter()


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        (["type"], "'type' is not a condition: write type=email"),
        (["type="], "is not a condition"),
        (["colour=red"], "there is no condition 'colour'"),
        (["type=a", "type=b"], "type is given twice"),
        (["older=soon"], "older='soon' needs a number"),
        (["older=-5s"], "must be at least 0"),
        (["payload.=1"], "is not a path"),
        ([f"payload.{'a.' * MAX_STEPS}a=1"], "is not a path"),
        ([f"payload.f{number}=1" for number in range(MAX_FIELDS + 1)], "at most 20"),
        (["error=" + "x" * (MAX_TEXT + 1)], "error has 1,001 characters"),
    ],
)
def test_an_invalid_condition_is_rejected_with_a_reason(conditions: list[str], reason: str) -> None:
    with pytest.raises(InvalidFilter, match=reason):
        Filter.parse(conditions)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_an_age_must_be_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(InvalidFilter, match="older_than"):
        Filter(older_than=seconds)
