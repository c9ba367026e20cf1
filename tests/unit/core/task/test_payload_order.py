"""Payloads are deterministic, and hold no number that JSON does not have."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import math
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.task.payload import Binding, decode, encode
from asynqio.errors import NotSerializable

# --- numbers that JSON does not have ---------------------------------------------------------------------


@dataclasses.dataclass
class Reading:
    value: float | None
    unit: str = "K"


class Series(msgspec.Struct, rename="camel"):
    all_values: list[float | None]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "$ is nan"),
        ({"x": math.inf}, "$.x is inf"),
        ({"x": [1.0, None, {"y": (-math.inf,)}]}, "$.x[2].y[0] is -inf"),
        ([Reading(None), Reading(math.nan)], "$[1].value is nan"),
        (Series([1.0, None, math.inf]), "$.allValues[2] is inf"),
        ({"two words": math.nan}, "$['two words'] is nan"),
        ({1: {2: math.nan}}, "$[1][2] is nan"),
        ({math.nan: 1}, "$ has the key nan"),
        ({"huge": 10**40, "x": math.nan}, "$.x is nan"),
        ({math.nan}, "$[0] is nan"),
    ],
)
def test_a_number_that_json_does_not_have_is_refused_with_its_path(value: object, reason: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        encode("t", value)
    assert caught.value.reason == f"{reason}, which JSON does not have"


def test_the_path_begins_with_the_name_of_the_argument() -> None:
    def measure(values: list[float], *, scale: float | None = None) -> None: ...

    binding = Binding("t", measure)
    with pytest.raises(NotSerializable, match=r"task 't': \$\.values\[1\] is nan, which JSON does not have"):
        binding.encode(([1.0, math.nan],), {})
    with pytest.raises(NotSerializable, match=r"\$\.scale is inf"):
        binding.encode(([],), {"scale": math.inf})
    assert binding.encode(([1.0],), {"scale": None}) == b'{"values":[1.0],"scale":null}'


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from numbers(one)


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_is_equal_after_a_round_trip_or_refused(value: Any) -> None:
    if all(map(math.isfinite, numbers(value))):
        assert decode("t", encode("t", value)) == value
    else:
        with pytest.raises(NotSerializable, match="which JSON does not have"):
            encode("t", value)


def test_a_decimal_has_a_text_for_what_is_not_a_number() -> None:
    assert decode("t", encode("t", decimal.Decimal("NaN")), decimal.Decimal).is_nan()


# --- one order --------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


@dataclasses.dataclass(frozen=True)
class Point:
    y: int
    x: str = ""


class Box(msgspec.Struct, tag="box", rename="camel"):
    all_names: set[Any]
    by_name: dict[str, Any]


class Row(msgspec.Struct, array_like=True, tag=True):
    names: set[Any]


class Model(pydantic.BaseModel):
    names: set[str]
    points: dict[str, frozenset[int]] = {}


class Names(pydantic.RootModel[set[str]]):
    pass


class Open(pydantic.BaseModel, extra="allow"):
    a: int = 0


WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
NESTED = frozenset({frozenset({"b", "c"}), frozenset({"a"}), frozenset({"a", "b"}), frozenset()})

#: Values that hold sets; their order differs between processes.
SETS: list[Any] = [
    {"x": {*WORDS}},
    [{*WORDS, 1, 2.5, None}],
    {*Colour},
    {Point(2, "b"), Point(2, "a"), Point(1, "c")},
    NESTED,
    {"x": [[1, 2], [NESTED]]},
    {("a", 1), (1, "a"), (None, NESTED)},
    {1: {*WORDS}, "b": {*WORDS}},
    {uuid.UUID(int=number) for number in range(9)},
    Box({*WORDS, 1}, {"b": 1, "a": {*WORDS}}),
    Row({*WORDS, 1}),
    {"rows": [Row({1, "a", NESTED})], "box": Box({NESTED}, {})},
    Model(names={*WORDS}, points={"b": frozenset({3, 10, 2}), "a": frozenset()}),
    [{"m": Names({*WORDS}), "mixed": {1, "a"}}],
]


def test_sets_have_one_order_in_all_processes() -> None:
    script = (
        "from asynqio.core.task.payload import encode\n"
        "from tests.unit.core.task.test_payload_order import SETS\n"
        "for value in SETS: print(encode('t', value).decode())"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    [lines] = written
    assert lines.count("\n") == len(SETS)
    assert lines.startswith('{"x":["alpha","beta","delta","epsilon","gamma"]}\n')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"x": [{"a": 1, "b": 2}]}, {"x": [{"b": 2, "a": 1}]}),
        ({1: "a", 2: "b"}, {2: "b", 1: "a"}),
        ({1: {"a": 1, "b": 2}}, {1: {"b": 2, "a": 1}}),
        (Box(set(), {"a": 1, "b": 2}), Box(set(), {"b": 2, "a": 1})),
        (Box({1, "a"}, {"a": 1, "b": 2}), Box({1, "a"}, {"b": 2, "a": 1})),
        (Open.model_validate({"c": 1, "b": 2}), Open.model_validate({"b": 2, "c": 1})),
        (
            Model(names=set(), points={"a": frozenset(), "b": frozenset()}),
            Model(names=set(), points={"b": frozenset(), "a": frozenset()}),
        ),
    ],
)
def test_the_order_of_keys_does_not_matter(one: object, other: object) -> None:
    assert encode("t", one) == encode("t", other)


def test_fields_and_arguments_keep_their_order() -> None:
    def function(z: Any, b: Any = None, *, a: Any = None) -> None: ...

    binding = Binding("t", function)
    assert binding.encode((Point(1),), {"a": {2, 1}}) == b'{"z":{"y":1,"x":""},"a":[1,2]}'
    assert binding.encode((Point(1),), {"a": {1, "a"}}) == b'{"z":{"y":1,"x":""},"a":["a",1]}'
    assert encode("t", Box({1, "a"}, {})) == b'{"type":"box","allNames":["a",1],"byName":{}}'
    assert encode("t", Row({1, "a"})) == b'["Row",["a",1]]'
    assert encode("t", Model(names={"b", "a"})) == b'{"names":["a","b"],"points":{}}'


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (NESTED, frozenset[frozenset[str]]),
        ({1, "a", None}, set[int | str | None]),
        ({Point(1, "a"), Point(2)}, set[Point]),
        ({*Colour}, set[Colour]),
        ({1: {"a"}, 2: {"b"}}, dict[int, set[str]]),
        (Box({1, "a"}, {"a": 1}), Box),
        (Row({1, "a"}), Row),
    ],
)
def test_a_sorted_value_comes_back_as_what_it_was(value: object, wanted: Any) -> None:
    assert decode("t", encode("t", value), wanted) == value


def test_keys_that_json_cannot_tell_apart_are_refused() -> None:
    with pytest.raises(NotSerializable, match="two of the keys"):
        encode("t", {1: "a", "1": "b"})
