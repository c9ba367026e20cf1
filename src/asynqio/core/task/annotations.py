"""The annotations of a function as types, each resolved by itself.

An annotation may name a class that is declared further down, only for type checkers, or inside a function. Such an
annotation is resolved again later, and does not affect the others.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, NamedTuple

_NAME = re.compile(r"[^\W\d]\w*")


class Unresolved(NamedTuple):
    """An annotation that cannot be resolved: the parameter is not checked."""

    parameter: str
    annotation: str
    reason: str

    def __str__(self) -> str:
        return f"{self.parameter}: {self.annotation} ({self.reason})"


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function, whether or not its annotations can be resolved."""
    formats: Any = getattr(inspect, "Format", None)  # since Python 3.14, which evaluates annotations lazily
    inspected: Callable[..., inspect.Signature] = inspect.signature
    return (
        inspected(function) if formats is None else inspected(function, annotation_format=formats.FORWARDREF)
    )


class Scope:
    """The names that the annotations of one function can use."""

    def __init__(self, function: Callable[..., Any], annotations: Iterable[Any]) -> None:
        inner: Any = function
        while isinstance(inner, functools.partial):
            inner = inner.func
        inner = inspect.unwrap(inner)
        if not hasattr(inner, "__globals__") and not isinstance(inner, type):
            inner = inspect.unwrap(type(inner).__call__)  # an object that can be called
        self._function = inner
        self._locals: dict[str, Any] = _enclosing_names(inner, annotations)

    def resolve(self, annotation: Any) -> Any:
        """The type that an annotation stands for; any error of its evaluation passes through."""
        if annotation is inspect.Parameter.empty:
            return Any
        holder = types.SimpleNamespace(
            __annotations__={"it": annotation},
            __type_params__=getattr(self._function, "__type_params__", ()),
        )
        names = getattr(self._function, "__globals__", {})
        return typing.get_type_hints(holder, names, self._locals or None, include_extras=True)["it"]


def _enclosing_names(function: Any, annotations: Iterable[Any]) -> dict[str, Any]:
    """The local names around a nested function that its annotations use, while the frames around it still run."""
    code = getattr(function, "__code__", None)
    texts = [str(one) for one in annotations if isinstance(one, str) or "ForwardRef" in str(one)]
    words = {word for text in texts for word in _NAME.findall(text)}
    if code is None or "." not in function.__qualname__ or not words:
        return {}
    found: dict[str, Any] = {}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "<module>":
        if code in frame.f_code.co_consts:
            names = frame.f_locals
            found |= {word: names[word] for word in words - found.keys() if word in names}
            code = frame.f_code
        frame = frame.f_back
    return found
