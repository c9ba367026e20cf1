"""pydantic models as JSON: a model arrives equal, or is refused with the name of its field.

Models are recognised by their methods, so pydantic need not be installed. Fields are written by name, not by alias;
both are read, since producers in other languages write aliases.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Set
from typing import Any

import msgspec

from asynqio.core.task.canonical import not_finite, sort

#: Values that JSON writes in one way only: a model that holds nothing else needs no sorting.
_SCALARS = frozenset({type(None), bool, int, float, str})

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def is_model(kind: Any) -> bool:
    """Whether it is a class of pydantic models, or an instance of one."""
    return hasattr(kind, "model_validate_json")


def encode_model(model: Any) -> bytes:
    """The JSON of a model. Raises ValueError with the name of the field that does not survive."""
    kind = type(model)
    by_name = _reads_names(kind.model_validate_json)
    try:
        encoded: bytes = model.model_dump_json(by_alias=not by_name, round_trip=True, warnings=False).encode()
    except Exception as error:  # serializers are user code
        raise ValueError(f"{kind.__name__} has no JSON form: {_first_line(error)}") from error
    try:
        again = _validate(kind, encoded)
    except Exception as error:  # validators are user code as well
        field, reason = _problem(kind, error)
        raise ValueError(
            _not_finite_in(model)
            or f"{field} of {kind.__name__} cannot be read from the JSON that the model writes: {reason}"
        ) from error
    path = None if again == model else difference(model, again)
    if path is not None:
        raise ValueError(
            _not_finite_in(model)
            or f"field {path!r} of {kind.__name__} would arrive with another value: give it a serializer whose "
            "output its validator reads, or pass the value as an argument"
        )
    values = model.__dict__.values()
    flat = _SCALARS.issuperset(map(type, values)) and not getattr(model, "model_extra", None)
    if flat and not any(isinstance(one, float) and not math.isfinite(one) for one in values):
        return encoded
    root = getattr(kind, "__pydantic_root_model__", False)
    try:
        return _encode(sort(model.root if root else model, _decode(encoded)))
    except msgspec.DecodeError as error:  # ser_json_inf_nan="constants" writes NaN
        raise ValueError(_not_finite_in(model) or f"{kind.__name__} is not valid JSON: {error}") from error


def _not_finite_in(model: Any) -> str | None:
    try:
        return not_finite(model.model_dump(), type(model).__name__)
    except Exception:  # serializers are user code; the caller has another reason to report
        return None


def decode_model(kind: Any, value: Any) -> Any:
    """A model of this class from decoded JSON. Raises what its validators raise."""
    return _validate(kind, _encode(value))


def difference(one: Any, other: Any, path: str = "") -> str | None:
    """The path of the first field in which two values differ. Private attributes of models are not part of them."""
    if is_model(type(one)):
        if type(one) is not type(other):
            return path
        names = [*type(one).model_fields, *(one.model_extra or ())]
        steps = [(f".{name}", getattr(one, name, None), getattr(other, name, None)) for name in names]
    elif type(one) is type(other) and isinstance(one, list | tuple) and len(one) == len(other):
        steps = [(f"[{index}]", *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    elif type(one) is type(other) and isinstance(one, dict) and one.keys() == other.keys():
        steps = [(f"[{key!r}]", value, other[key]) for key, value in one.items()]
    else:
        same = bool(one == other) or (one != one and other != other)  # NaN
        return None if same else path
    for step, mine, its in steps:
        found = difference(mine, its, (path + step).removeprefix("."))
        if found is not None:
            return found
    return None


def lost_in(given: Any, arrived: Any, path: str) -> str | None:
    """The path of the first model in `given` that is another one in `arrived`.

    A handler may declare a base class: the fields of the subclass that it is passed would be lost.
    """
    if is_model(type(given)):
        return None if given == arrived else difference(given, arrived, path)
    if isinstance(given, Mapping) and isinstance(arrived, Mapping):
        pairs = [(f"{path}[{key!r}]", given[key], arrived[key]) for key in given if key in arrived]
    elif isinstance(given, list | tuple) and isinstance(arrived, list | tuple):
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(given, arrived, strict=False))]
    elif isinstance(given, Set) and any(is_model(type(one)) for one in given):
        return None if given == arrived else path
    else:
        return None
    return next((found for step, mine, its in pairs if (found := lost_in(mine, its, step))), None)


def mentions_model(hint: Any) -> bool:
    """Whether a type is a class of models, or has one among its arguments."""
    return is_model(hint) or any(map(mentions_model, getattr(hint, "__args__", ())))


def _validate(kind: Any, encoded: bytes) -> Any:
    if _reads_names(kind.model_validate_json):
        return kind.model_validate_json(encoded, by_name=True, by_alias=True)
    return kind.model_validate_json(encoded)


@functools.lru_cache(maxsize=512)
def _reads_names(validate: Callable[..., Any]) -> bool:
    """pydantic before 2.11 reads either names or aliases, as the model is configured."""
    return "by_name" in inspect.signature(validate).parameters


def _problem(kind: Any, error: Exception) -> tuple[str, str]:
    """The field of a validation error, and its message."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return "a field", _first_line(error)
    first = errors(include_url=False, include_input=False, include_context=False)[0]
    where = [*first["loc"]]
    if not where:
        return "a field", first["msg"]
    fields = getattr(kind, "model_fields", {})
    aliases = {
        field.validation_alias or field.alias: name
        for name, field in fields.items()
        if isinstance(field.validation_alias or field.alias, str)
    }
    where[0] = aliases.get(where[0], where[0]) if isinstance(where[0], str) else where[0]
    return f"field {'.'.join(map(str, where))!r}", first["msg"]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
