"""Encode values as JSON payloads, and the arguments of a function as one JSON object by name.

msgspec checks types while it decodes. It supports dataclasses, attrs classes, TypedDicts, NamedTuples and its own
structs; pydantic models are recognised by their methods, so pydantic need not be installed.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from asynqio.errors import BadPayload, ConfigError, InvalidArguments, NotSerializable


def _enc_hook(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _dec_hook(wanted: Any, value: Any) -> Any:
    if hasattr(wanted, "model_validate"):
        return wanted.model_validate(value)
    raise TypeError(f"{wanted!r} cannot be read from JSON")


_encoder = msgspec.json.Encoder(enc_hook=_enc_hook)


@functools.lru_cache(maxsize=512)
def _decoder(wanted: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted, dec_hook=_dec_hook)


def encode(type: str, value: Any) -> bytes:
    """Encode `value` as JSON. Raises NotSerializable, which names the task type."""
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, msgspec.EncodeError, RecursionError) as problem:
        raise NotSerializable(type, str(problem)) from problem


def decode(type: str, payload: bytes | None, wanted: Any = Any) -> Any:
    """Decode the JSON `payload` and check it against the type `wanted`. Raises BadPayload."""
    if payload is None:
        raise BadPayload(type, "there is no payload, and JSON is expected")
    try:
        return _decoder(wanted).decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError, RecursionError) as problem:
        raise BadPayload(type, str(problem)) from problem


class Binding:
    """Converts the arguments of one function to a payload and back.

    The payload is one object, `{"to": "ann@example.org", "subject": "Hello"}`, which any language can write and read.
    Arguments that are not given are left out: the worker's defaults apply. Unknown names are refused, as in a call.
    """

    def __init__(self, type: str, function: Callable[..., Any]) -> None:
        self.type = type
        self.signature = inspect.signature(function)
        self._function = function
        hints = _hints(function)
        fields: list[tuple[str, Any, Any]] = []
        # Number the fields of the struct: an argument may be called `__x` or `__init__`.
        positional: list[str] = []
        keyword_only: dict[str, str] = {}
        for number, (name, parameter) in enumerate(self.signature.parameters.items()):
            attribute = f"a{number}"
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ConfigError(
                    [f"task {type!r}: *{name} cannot be bound to a JSON object; name the arguments"]
                )
            hint = hints.get(name, Any)
            _check_hint(type, name, hint)
            if parameter.kind is parameter.KEYWORD_ONLY:
                keyword_only[name] = attribute
            else:
                positional.append(attribute)
            if parameter.default is parameter.empty:
                fields.append((attribute, hint, msgspec.field(name=name)))
            else:
                default = _constant(parameter.default)
                fields.append((attribute, hint, msgspec.field(default_factory=default, name=name)))
        arguments = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True, omit_defaults=False
        )
        self._decode = msgspec.json.Decoder(arguments, dec_hook=_dec_hook).decode
        self._positional = tuple(positional)
        self._keyword_only = tuple(keyword_only.items())
        self._empty = not fields

    @functools.cached_property
    def returns(self) -> Any:
        """The declared return type. Evaluated at the first use: its names may be declared below the function."""
        return return_type(self._function)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Encode a call. Raises InvalidArguments, NotSerializable."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as problem:
            raise InvalidArguments(self.type, str(problem)) from None
        return encode(self.type, bound.arguments)

    def decode(self, payload: bytes | None) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the keyword-only arguments in a payload. Raises BadPayload."""
        if not payload and self._empty:
            return [], {}
        try:
            values = self._decode(payload or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError, RecursionError) as problem:
            raise BadPayload(self.type, str(problem)) from problem
        return (
            [getattr(values, attribute) for attribute in self._positional],
            {name: getattr(values, attribute) for name, attribute in self._keyword_only},
        )

    def call(self, function: Callable[..., Any], payload: bytes | None) -> Any:
        """Call the function with the arguments in a payload. Raises BadPayload."""
        args, kwargs = self.decode(payload)
        return function(*args, **kwargs)


def return_type(function: Callable[..., Any]) -> Any:
    """The declared return type of a function, to decode results; Any without an annotation."""
    found = _hints(function).get("return", Any)
    return Any if found is type(None) else found


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # names that only the type checker knows: no checks then
        return {}


def _check_hint(type: str, name: str, hint: Any) -> None:
    """Refuse a type that cannot be read from JSON at declaration. Raises ConfigError."""
    if hasattr(hint, "model_validate"):
        return
    try:
        kind = msgspec.inspect.type_info(hint)
    except TypeError as problem:
        raise ConfigError([f"task {type!r}, argument {name!r}: {problem}"]) from None
    if isinstance(kind, msgspec.inspect.CustomType) and not hasattr(kind.cls, "model_validate"):
        raise ConfigError([f"task {type!r}, argument {name!r}: {hint!r} cannot be read from JSON"])


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value
