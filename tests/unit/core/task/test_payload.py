"""Values ↔ JSON payloads, and a function's arguments ↔ one JSON object."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import re
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.task.payload import Binding, decode, encode
from asynqio.errors import BadPayload, ConfigError, InvalidArguments, InvalidTask, NotSerializable


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    fast: bool


class Place(NamedTuple):
    name: str
    zip: int


class Colour(enum.Enum):
    RED = "red"


class Struct(msgspec.Struct):
    id: int
    tags: list[str] = []


class Model(pydantic.BaseModel):
    email: str
    age: int = pydantic.Field(ge=0)


class Opaque:
    pass


# --- values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, None),
        (True, bool),
        (2**64 - 1, int),
        (-(2**63), int),
        (10**40, int),
        (0.1, float),
        ("ünï 🎉 \x00", str),
        (b"\x00\xff", bytes),
        ([1, [2, []]], list[Any]),
        ({"a": {"b": None}}, dict[str, Any]),
        ({1: "a"}, dict[int, str]),
        (Point(1, 2), Point),
        ({"fast": True}, Options),
        (Place("Bonn", 53111), Place),
        (Colour.RED, Colour),
        (Struct(1, ["a"]), Struct),
        (Model(email="a@b", age=3), Model),
        ([Model(email="a@b", age=3)], list[Model]),
        (dt.datetime(2030, 1, 1, tzinfo=dt.UTC), dt.datetime),
        (dt.timedelta(seconds=5), dt.timedelta),
        (uuid.UUID(int=7), uuid.UUID),
        (decimal.Decimal("0.10"), decimal.Decimal),
        ({1, 2}, set[int]),
    ],
)
def test_a_value_comes_back_as_what_it_was(value: object, wanted: Any) -> None:
    assert decode("t", encode("t", value), wanted) == value


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_value_survives(value: object) -> None:
    assert decode("t", encode("t", value)) == value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        {"a": Opaque()},
        object,
        circle(),
        nested(100_000),
        {(1, 2): 3},
        {None: 1},
        "half \ud800",
        1j,
        len,
    ],
    ids=range(10),
)
def test_a_value_without_json_form_is_refused_with_the_way_out(value: object) -> None:
    with pytest.raises(
        NotSerializable, match=r"task 'email:send': .*; pass JSON values, dataclasses"
    ) as caught:
        encode("email:send", value)
    assert isinstance(caught.value, TypeError | ValueError)
    assert isinstance(caught.value, InvalidTask)


@pytest.mark.parametrize(
    ("payload", "wanted", "text"),
    [
        (None, Any, "there is no payload, and JSON is expected"),
        (b"", Any, "truncated"),
        (b"not json", Any, "malformed"),
        (b"\xff\xfe", Any, "."),
        (b'"half \\ud800"', str, "."),
        (b'{"x":"one"}', Point, r"Expected `int`, got `str` - at `\$\.x`"),
        (b"{}", Point, "missing required field `x`"),
        (b"[1]", Struct, "Expected `object`, got `array`"),
        (b'{"email":"a","age":-1}', Model, "age"),
        (b'{"email":"a"}', Model, "age"),
        (b'"blue"', Colour, "Invalid enum value 'blue'"),
        (b"1e999", float, "."),
        (b"1", Opaque, "."),
        (b"[" * 100_000, Any, "."),
    ],
    ids=range(14),
)
def test_a_payload_that_does_not_fit_says_why(payload: bytes | None, wanted: Any, text: str) -> None:
    with pytest.raises(BadPayload, match="the payload does not fit the handler of 't'") as caught:
        decode("t", payload, wanted)
    assert caught.value.type == "t"
    assert re.search(text, caught.value.reason)


# --- binding --------------------------------------------------------------------------------------------


def send(to: str, subject: str = "Hello", *, urgent: bool = False) -> None: ...


def positional(a: int, /, b: int = 2) -> None: ...


def keywords(*, a: int, b: list[str] | None = None) -> None: ...


def nothing() -> None: ...


def unhinted(a, b=None):  # type: ignore[no-untyped-def]
    ...


def rich(point: Point, options: Options, struct: Struct, model: Model) -> None: ...


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments as the handler gets them."""
    binding = Binding("t", function)
    return binding.decode(binding.encode(args, kwargs))


@pytest.mark.parametrize(
    ("args", "kwargs", "payload"),
    [
        (("ann",), {}, b'{"to":"ann"}'),
        (("ann", "Hi"), {}, b'{"to":"ann","subject":"Hi"}'),
        ((), {"subject": "Hi", "to": "ann"}, b'{"to":"ann","subject":"Hi"}'),
        (("ann",), {"urgent": True}, b'{"to":"ann","urgent":true}'),
    ],
)
def test_a_call_becomes_one_object_with_the_names_that_were_given(
    args: tuple[Any, ...], kwargs: dict[str, Any], payload: bytes
) -> None:
    assert Binding("t", send).encode(args, kwargs) == payload


def test_arguments_arrive_where_they_belong() -> None:
    assert call(send, "ann") == (["ann", "Hello"], {"urgent": False})
    assert call(send, subject="Hi", urgent=True, to="ann") == (["ann", "Hi"], {"urgent": True})
    assert call(positional, 1) == ([1, 2], {})
    assert call(positional, 1, b=3) == ([1, 3], {})
    assert call(keywords, a=1, b=["x"]) == ([], {"a": 1, "b": ["x"]})
    assert call(unhinted, {"any": [1]}) == ([{"any": [1]}, None], {})
    assert call(nothing) == ([], {})


def test_rich_types_are_themselves_again() -> None:
    point, options, struct, model = Point(1), Options(fast=True), Struct(5), Model(email="a@b", age=1)
    assert call(rich, point, options, struct, model) == ([point, options, struct, model], {})


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "text"),
    [
        (send, (), {}, "missing a required argument: 'to'"),
        (send, ("a", "b", "c"), {}, "too many positional arguments"),
        (send, ("a",), {"cc": "b"}, "unexpected keyword argument 'cc'"),
        (send, ("a",), {"to": "b"}, "multiple values for argument 'to'"),
        (positional, (), {"a": 1}, "'a'"),
        (keywords, (1,), {}, "too many positional arguments"),
        (nothing, (1,), {}, "too many positional arguments"),
    ],
)
def test_a_call_that_python_would_refuse_is_refused(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], text: str
) -> None:
    with pytest.raises(InvalidArguments, match="task 't' cannot be called with these arguments") as caught:
        Binding("t", function).encode(args, kwargs)
    assert text in caught.value.reason


def test_an_argument_without_json_form_is_refused() -> None:
    with pytest.raises(NotSerializable, match="Opaque has no JSON form"):
        Binding("t", send).encode((Opaque(),), {})


@pytest.mark.parametrize("payload", [None, b"", b"{}"])
def test_a_function_without_arguments_takes_no_payload_an_empty_one_and_an_empty_object(
    payload: bytes | None,
) -> None:
    assert Binding("t", nothing).decode(payload) == ([], {})


@pytest.mark.parametrize("payload", [None, b"", b"{}"])
def test_a_function_whose_arguments_all_have_defaults_needs_no_payload(payload: bytes | None) -> None:
    def defaults(a: int = 1, *, b: str = "x") -> None: ...

    assert Binding("t", defaults).decode(payload) == ([1], {"b": "x"})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "missing required field `to`"),
        (b"", "missing required field `to`"),
        (b"{}", "missing required field `to`"),
        (b'{"to":5}', r"Expected `str`, got `int` - at `$.to`"),
        (b'{"to":"a","cc":"b"}', "unknown field `cc`"),
        (b'["a"]', "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"to":"a"', "truncated"),
        (b'{"to":"a"} x', "trailing"),
        (b'{"to":' + b"[" * 100_000, ""),
    ],
    ids=range(10),
)
def test_a_payload_that_does_not_fit_the_arguments_says_why(payload: bytes | None, reason: str) -> None:
    with pytest.raises(BadPayload) as caught:
        Binding("t", send).decode(payload)
    assert reason in caught.value.reason


def test_a_function_without_arguments_refuses_those_it_is_sent() -> None:
    with pytest.raises(BadPayload, match="unknown field `a`"):
        Binding("t", nothing).decode(b'{"a":1}')


def test_a_default_is_handed_over_as_it_is() -> None:
    marker = Opaque()

    def function(a: Any = marker) -> None: ...

    [value], _ = Binding("t", function).decode(b"{}")
    assert value is marker


def test_names_that_are_special_elsewhere_are_ordinary_arguments() -> None:
    def function(self: int, type: str, cls: int = 0, __x: int = 1, _y: int = 2) -> None: ...

    assert call(function, 5, "t") == ([5, "t", 0, 1, 2], {})


def test_arguments_that_have_no_names_are_refused_when_the_task_is_declared() -> None:
    def stars(*args: int) -> None: ...
    def double(**kwargs: int) -> None: ...

    for function in (stars, double):
        with pytest.raises(ConfigError, match="cannot be bound to a JSON object; name the arguments"):
            Binding("t", function)


def test_a_type_that_can_never_come_from_json_is_refused_when_the_task_is_declared() -> None:
    def function(thing: Opaque) -> None: ...

    with pytest.raises(ConfigError, match=r"task 't', argument 'thing': .*Opaque.* cannot be read from JSON"):
        Binding("t", function)
