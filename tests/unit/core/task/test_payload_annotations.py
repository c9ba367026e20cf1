"""Annotations: each is resolved by itself, at declaration or at the first use."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from asynqio.core.task.annotations import Unresolved
from asynqio.core.task.payload import Binding
from asynqio.errors import BadPayload, ConfigError

if TYPE_CHECKING:
    from decimal import Decimal as Hidden


def declared(function: Callable[..., Any]) -> tuple[Binding, list[tuple[str, Sequence[Unresolved]]]]:
    reports: list[tuple[str, Sequence[Unresolved]]] = []
    binding = Binding(
        "t", function, on_unresolved=lambda name, unresolved: reports.append((name, unresolved))
    )
    return binding, reports


def hidden(a: Hidden, n: int, later: Later | None = None) -> list[Hidden] | None: ...


@dataclasses.dataclass
class Holder:
    later: Later


def fields(holder: Holder) -> None: ...


early, early_reports = declared(hidden)
early_fields, early_fields_reports = declared(fields)


@dataclasses.dataclass
class Later:
    x: int
    next: Later | None = None


def test_an_annotation_that_cannot_be_resolved_leaves_the_others_checked() -> None:
    binding, reports = declared(hidden)
    assert binding.decode(b'{"a":[1],"n":2}') == ([[1], 2, None], {})
    with pytest.raises(BadPayload, match=r"Expected `int`, got `str` - at `\$\.n`"):
        binding.decode(b'{"a":1,"n":"notint"}')
    binding.decode(b'{"a":1,"n":2}')
    [(type, unresolved)] = reports
    assert type == "t"
    assert [(one.parameter, one.annotation) for one in unresolved] == [("a", "Hidden")]
    assert str(unresolved[0]) == "a: Hidden (NameError: name 'Hidden' is not defined)"
    assert binding.returns is Any


def test_a_class_that_is_declared_below_is_resolved_at_the_first_use() -> None:
    assert early.decode(b'{"a":1,"n":2,"later":{"x":3,"next":{"x":4}}}') == ([1, 2, Later(3, Later(4))], {})
    with pytest.raises(BadPayload, match=r"Expected `int`, got `str` - at `\$\.later\.x`"):
        early.decode(b'{"a":1,"n":2,"later":{"x":"y"}}')
    assert [[one.parameter for one in unresolved] for _, unresolved in early_reports] == [["a"]]


def test_the_fields_of_a_class_may_be_declared_below_as_well() -> None:
    assert early_fields.decode(b'{"holder":{"later":{"x":1}}}') == ([Holder(Later(1))], {})
    with pytest.raises(BadPayload, match=r"Expected `int`, got `str` - at `\$\.holder\.later\.x`"):
        early_fields.decode(b'{"holder":{"later":{"x":"y"}}}')
    assert early_fields_reports == []


def test_a_class_inside_a_function_is_resolved() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    def function(one: Local, many: list[Local]) -> Local | None: ...

    binding, reports = declared(function)
    assert binding.decode(b'{"one":{"x":1},"many":[{"x":2}]}') == ([Local(1), [Local(2)]], {})
    assert (binding.returns, reports) == (Local | None, [])


def test_the_name_of_an_enclosing_function_comes_before_that_of_the_module() -> None:
    @dataclasses.dataclass
    class Later:
        y: str

    def function(one: Later) -> None: ...

    binding, _ = declared(function)
    assert binding.decode(b'{"one":{"y":"a"}}') == ([Later("a")], {})


def test_a_type_that_json_cannot_hold_is_refused_at_the_first_use_if_not_earlier() -> None:
    def function(thing: Opaque) -> None: ...

    binding, reports = declared(function)
    globals()["Opaque"] = type("Opaque", (), {})
    try:
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"argument 'thing': .* cannot be read from JSON"):
                binding.encode((1,), {})
    finally:
        del globals()["Opaque"]
    assert binding.encode((1,), {}) == b'{"thing":1}'
    assert [[one.parameter for one in unresolved] for _, unresolved in reports] == [["thing"]]


if TYPE_CHECKING:

    class Opaque: ...


def add(a: int, b: Later) -> None: ...


class Callable1:
    def __call__(self, n: int, later: Later) -> None: ...


def plain_decorator(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any: ...

    return call


@pytest.mark.parametrize(
    ("function", "payload"),
    [
        (functools.partial(add, 1), b'{"b":5}'),
        (functools.partial(add), b'{"a":"x","b":{"x":1}}'),
        (Callable1(), b'{"n":"x","later":{"x":1}}'),
        (Callable1(), b'{"n":1,"later":5}'),
        (Callable1().__call__, b'{"n":1,"later":5}'),
        (plain_decorator(add), b'{"a":1,"b":5}'),
    ],
)
def test_every_kind_of_function_is_checked(function: Callable[..., Any], payload: bytes) -> None:
    binding, reports = declared(function)
    with pytest.raises(BadPayload, match="Expected"):
        binding.decode(payload)
    assert reports == []


@pytest.mark.parametrize("annotation", ["1 +", "Hidden | int", "dataclasses.Nope", "list[Hidden]", "1 / 0"])
def test_any_error_of_an_annotation_concerns_its_parameter_only(annotation: str) -> None:
    def function(odd: Any, n: int) -> None: ...

    function.__annotations__["odd"] = annotation
    binding, reports = declared(function)
    assert binding.decode(b'{"odd":[],"n":1}') == ([[], 1], {})
    with pytest.raises(BadPayload, match="n"):
        binding.decode(b'{"odd":[],"n":"x"}')
    [(_, [unresolved])] = reports
    assert (unresolved.parameter, unresolved.annotation) == ("odd", annotation)


def test_without_a_report_an_unresolved_annotation_is_not_checked() -> None:
    binding = Binding("t", hidden)
    assert binding.decode(binding.encode(({"any": 1}, 2), {})) == ([{"any": 1}, 2, None], {})
