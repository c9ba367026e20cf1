"""Encode a value as JSON in one order: members of sets and keys of dicts are sorted, fields keep their order.

Two processes must write the same bytes for equal values, since a uniqueness lock is a digest of the payload.
msgspec sorts most values itself. This module encodes the others, and finds numbers that JSON does not have.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

_SETS = frozenset({set, frozenset})
_SEQUENCES = frozenset({list, tuple})
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
#: A 64-bit float in MessagePack that is not finite; rarely also other bytes.
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")

_plain = msgspec.json.Encoder().encode
_msgpack = msgspec.msgpack.Encoder(enc_hook=lambda value: None).encode


def encode_sorted(value: Any, enc_hook: Callable[[Any], Any]) -> bytes:
    """Encode sets whose members Python cannot order, and dicts whose keys are not strings.

    Raises ValueError if two keys of a dict are the same text in JSON.
    """
    return _plain(sort(value, msgspec.to_builtins(value, str_keys=True, enc_hook=enc_hook)))


def sort(value: Any, tree: Any) -> Any:
    """`tree`, the JSON form of `value`, with the members of sets and the keys of dicts sorted."""
    if isinstance(tree, list | tuple):
        members = _members(value, len(tree))
        if members is None:
            return tree
        found = [sort(one, its) for one, its in zip(members, tree, strict=True)]
        return sorted(found, key=_plain) if isinstance(value, set | frozenset) else found
    if not isinstance(tree, dict):
        return tree
    if isinstance(value, dict):
        if len(value) != len(tree):
            raise ValueError(f"two of the keys {sorted(map(repr, value))} are the same text in JSON")
        sorted_values = {
            key: sort(one, its) for one, (key, its) in zip(value.values(), tree.items(), strict=True)
        }
        return dict(sorted(sorted_values.items()))
    found_fields = {key: getattr(value, name) for name, key in _fields(value)}
    named = {key: sort(found_fields[key], its) for key, its in tree.items() if key in found_fields}
    # What is not a field: a tag, or extra values of a pydantic model.
    return {**{key: its for key, its in sorted(tree.items()) if key not in found_fields}, **named}


def _members(value: Any, size: int) -> Collection[Any] | None:
    """The values behind the elements of a JSON array."""
    if isinstance(value, list | tuple | set | frozenset):
        return value if len(value) == size else None
    fields = [getattr(value, name) for name, _ in _fields(value)]
    if not 0 <= size - len(fields) <= 1:
        return None
    return [None] * (size - len(fields)) + fields  # an array-like struct; its tag comes first


def _fields(value: Any) -> Iterable[tuple[str, str]]:
    """The attributes of an object, each with its name in JSON."""
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        return zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
    if dataclasses.is_dataclass(kind):
        names: Iterable[str] = (field.name for field in dataclasses.fields(kind))
    elif hasattr(kind, "__attrs_attrs__"):
        names = (field.name for field in kind.__attrs_attrs__)
    else:
        names = getattr(kind, "model_fields", ())
    return ((name, name) for name in names if hasattr(value, name))


def holds_sets(value: Any) -> bool:
    """Whether a set is part of `value`. It looks at one level of nesting at a time, which is fast for matrices."""
    level: Iterable[Any] = [value]
    while True:
        kinds = set(map(type, level))
        if kinds & _SETS:
            return True
        if kinds <= _SCALARS:
            return False
        flatten = itertools.chain.from_iterable
        level = [*flatten(level)] if kinds <= _SEQUENCES else [*flatten(map(_children, level))]


def _children(value: Any) -> Iterable[Any]:
    if type(value) in _SCALARS:
        return ()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if isinstance(value, dict):
        return value.values()
    return [getattr(value, name) for name, _ in _fields(value)]


def check_finite(value: Any, enc_hook: Callable[[Any], Any]) -> None:
    """Refuse NaN and infinity, which would be `null` in JSON. Raises ValueError with the path of the number."""
    try:
        if not _NOT_FINITE.search(_msgpack(value)):
            return
    except (TypeError, ValueError, OverflowError):
        pass  # integers beyond 64 bits exist in JSON, but not in MessagePack: search below
    found = not_finite(msgspec.to_builtins(value, enc_hook=enc_hook), "$")
    if found is not None:
        raise ValueError(found)


def not_finite(tree: Any, path: str) -> str | None:
    """Which number in builtin values is NaN or infinite, as a sentence."""
    if isinstance(tree, float):
        return None if math.isfinite(tree) else f"{path} is {tree}, which JSON does not have"
    if isinstance(tree, dict):
        for key in tree:
            if isinstance(key, float) and not math.isfinite(key):
                return f"{path} has the key {key}, which JSON does not have"
        steps: Iterable[tuple[str, Any]] = ((_step(key), one) for key, one in tree.items())
    elif isinstance(tree, list | tuple):
        steps = ((f"[{index}]", one) for index, one in enumerate(tree))
    else:
        return None
    return next((found for step, one in steps if (found := not_finite(one, path + step))), None)


def _step(key: Any) -> str:
    return f".{key}" if _PLAIN_NAME.fullmatch(str(key)) else f"[{key!r}]"
