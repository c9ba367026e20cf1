"""pydantic models arrive equal, as argument and as result, or are refused with the name of the field."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
)

from asynqio.core.task.payload import Binding, decode, encode
from asynqio.errors import BadPayload, InvalidArguments, NotSerializable

T = TypeVar("T")


class Plain(BaseModel):
    email: str
    age: int = 0


class Alias(BaseModel):
    x: int = Field(alias="X")


class OptionalAlias(BaseModel):
    x: int = Field(0, alias="X")


class TwoAliases(BaseModel):
    x: int = Field(0, serialization_alias="Y", validation_alias="X")


class Choices(BaseModel):
    x: int = Field(0, validation_alias=AliasChoices("X", "xx"))


class Parsed(BaseModel):
    j: Json[Any]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    when: dt.datetime
    id: UUID
    amount: Decimal
    pair: tuple[int, str]
    names: frozenset[str] = frozenset()


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def b(self) -> int:
        return self.a + 1


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 0


class Box(BaseModel, Generic[T]):
    value: T


class Root(RootModel[list[Alias]]):
    pass


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""


class Pets(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]


class Nested(BaseModel):
    one: Alias
    many: list[TwoAliases] | None = None
    named: dict[str, Plain] = {}


class Shown(BaseModel):
    """A secret that the author of the class chose to send."""

    password: SecretStr

    @field_serializer("password", when_used="json")
    def show(self, value: SecretStr) -> str:
        return value.get_secret_value()


class Private(BaseModel):
    a: int
    _cache: object = PrivateAttr(default_factory=object)


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    a: int


class Infinite(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    x: float


class Small(BaseModel):
    data: bytes


KEPT: list[BaseModel] = [
    Plain(email="a@b", age=3),
    Alias(X=3),
    OptionalAlias(X=4),
    TwoAliases.model_validate({"X": 4}),
    Choices.model_validate({"xx": 4}),
    Parsed(j='{"a": [1]}'),
    Strict(when=dt.datetime(2020, 1, 1), id=UUID(int=1), amount=Decimal("1.10"), pair=(1, "a")),
    Computed(a=1),
    Extra.model_validate({"a": 1, "other": [1, {"x": None}]}),
    Box[int](value=3),
    Box[list[Alias]](value=[Alias(X=1)]),
    Root([Alias(X=1)]),
    Pets(pets=[Cat(lives=3), Dog(name="Rex")]),
    Nested(one=Alias(X=1), many=[TwoAliases.model_validate({"X": 2})], named={"a": Plain(email="x")}),
    Shown(password=SecretStr("hunter2")),
    Private(a=1),
    Frozen(a=1),
    Infinite(x=-math.inf),
    Small(data=b"abc"),
]


class Secret(BaseModel):
    password: SecretStr


class Excluded(BaseModel):
    a: int
    b: int = Field(5, exclude=True)


class ExcludedRequired(BaseModel):
    a: int
    b: int = Field(exclude=True, alias="B")


class AnyField(BaseModel):
    data: Any


class Hashed(BaseModel):
    password: str

    @field_validator("password")
    @classmethod
    def digest(cls, value: str) -> str:
        return f"#{value}"


class Swapped(BaseModel):
    a: int = Field(alias="b")
    b: int = Field(alias="a")


class Base(BaseModel):
    a: int


class Derived(Base):
    b: int = 0


class HoldsBase(BaseModel):
    children: list[Base]


class Broken(BaseModel):
    a: int

    @model_serializer
    def write(self) -> dict[str, Any]:
        raise KeyError("no")


class Number(BaseModel):
    x: float


class MaybeNumber(BaseModel):
    xs: list[float | None]


class Constants(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    x: float


class DeepSecret(BaseModel):
    inner: dict[str, list[Secret]]


REFUSED: list[tuple[BaseModel, str]] = [
    (Secret(password=SecretStr("hunter2")), "field 'password' of Secret would arrive with another value"),
    (Excluded(a=1, b=9), "field 'b' of Excluded"),
    (ExcludedRequired.model_validate({"a": 1, "B": 2}), "field 'b' of ExcludedRequired cannot be read"),
    (AnyField(data=(1, 2)), "field 'data' of AnyField"),
    (AnyField(data={"x": [dt.date(2020, 1, 1)]}), "field \"data['x'][0]\" of AnyField"),
    (Hashed(password="x"), "field 'password' of Hashed"),
    (Swapped.model_validate({"a": 1, "b": 2}), "field 'a' of Swapped"),
    (HoldsBase(children=[Base(a=1), Derived(a=1, b=2)]), "field 'children[1]' of HoldsBase"),
    (Broken(a=1), "Broken has no JSON form"),
    (Plain.model_construct(email=5), "field 'email' of Plain cannot be read"),
    (Number(x=math.nan), "Number.x is nan, which JSON does not have"),
    (MaybeNumber(xs=[1, math.inf]), "MaybeNumber.xs[1] is inf, which JSON does not have"),
    (Constants(x=math.inf), "Constants.x is inf, which JSON does not have"),
    (
        DeepSecret(inner={"a": [Secret(password=SecretStr("x"))]}),
        "field \"inner['a'][0].password\" of DeepSecret",
    ),
]


def forms(kind: Any) -> list[tuple[Callable[[Any], Any], Any]]:
    """Where a model may stand: how to place it there, and the type to read it as."""
    return [
        (lambda model: model, kind),
        (lambda model: [model, model], list[kind]),
        (lambda model: model, kind | None),
        (lambda model: [model], list[kind] | None),
        (lambda model: {"a": {"b": model}}, dict[str, dict[str, kind]]),
        (lambda model: (1, model), tuple[int, kind]),
    ]


@pytest.mark.parametrize("form", range(6))
@pytest.mark.parametrize("model", KEPT, ids=lambda model: type(model).__name__)
def test_a_model_arrives_equal(model: Any, form: int) -> None:
    place, wanted = forms(type(model))[form]
    value = place(model)
    found = decode("t", encode("t", value), wanted)
    if isinstance(model, Private):
        assert encode("t", found) == encode("t", value)
    else:
        assert found == value

    def function(value: Any) -> None: ...

    function.__annotations__["value"] = wanted
    binding = Binding("t", function)
    [arrived], _ = binding.decode(binding.encode((value,), {}))
    assert arrived == found or isinstance(model, Private)


@pytest.mark.parametrize("form", range(6))
@pytest.mark.parametrize(("model", "reason"), REFUSED, ids=lambda one: type(one).__name__)
def test_a_model_that_would_change_is_refused_with_the_name_of_its_field(
    model: BaseModel, reason: str, form: int
) -> None:
    place, wanted = forms(type(model))[form]
    with pytest.raises(NotSerializable) as caught:
        encode("t", place(model))
    assert caught.value.reason.startswith(reason)
    assert "hunter2" not in str(caught.value)

    def function(value: Any) -> None: ...

    function.__annotations__["value"] = wanted
    with pytest.raises(NotSerializable):
        Binding("t", function).encode((), {"value": place(model)})


def test_a_default_that_is_excluded_arrives() -> None:
    model = Excluded(a=1, b=5)
    assert decode("t", encode("t", model), Excluded) == model


def test_producers_in_other_languages_may_write_aliases() -> None:
    assert decode("t", b'{"X":3}', Alias) == Alias(X=3)
    assert decode("t", b'{"x":3}', Alias) == Alias(X=3)
    assert decode("t", b'[{"X":3},{"xx":4},{"x":5}]', list[Choices]) == [
        Choices.model_validate({"X": number}) for number in (3, 4, 5)
    ]
    with pytest.raises(BadPayload, match="X\n  Field required"):
        decode("t", b'{"y":3}', Alias)


def base_handler(one: Base, many: list[Base] | None = None) -> None: ...


def test_a_subclass_that_the_handler_does_not_declare_is_refused() -> None:
    binding = Binding("t", base_handler)
    binding.encode((Base(a=1), [Base(a=2)]), {})
    with pytest.raises(NotSerializable, match="argument 'one' would arrive as another value"):
        binding.encode((Derived(a=1, b=2),), {})
    with pytest.raises(NotSerializable, match=r"argument 'many\[1\]' would arrive as another value"):
        binding.encode((Base(a=1),), {"many": [Base(a=1), Derived(a=1, b=2)]})


def test_a_value_that_the_declared_model_does_not_accept_is_refused() -> None:
    binding = Binding("t", base_handler)
    with pytest.raises(InvalidArguments, match="a\n"):
        binding.encode((Plain(email="x"),), {})
    with pytest.raises(InvalidArguments, match="valid integer"):
        binding.encode(({"a": "x"},), {})
    assert binding.decode(binding.encode(({"a": 1},), {})) == ([Base(a=1), None], {})


def test_a_validator_that_fails_is_no_error_of_the_encoder() -> None:
    def fail(value: object) -> object:
        raise RuntimeError("no database") if value == 2 else ValueError("odd")

    class Fails(BaseModel):
        a: Annotated[int, BeforeValidator(fail)]

    with pytest.raises(NotSerializable, match=r"a field of Fails cannot be read .*: no database"):
        encode("t", Fails.model_construct(a=2))
    with pytest.raises(NotSerializable, match=r"field 'a' of Fails cannot be read .*odd"):
        encode("t", Fails.model_construct(a=1))
