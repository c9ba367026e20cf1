"""Pickling of errors: they travel between processes."""

from __future__ import annotations

from typing import Any


def _rebuild(kind: type[BaseException], args: tuple[Any, ...], facts: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


def pickle_without_constructor(error: BaseException) -> tuple[Any, ...]:
    """The `__reduce__` of an error whose constructor takes other arguments than `args`."""
    return _rebuild, (type(error), error.args, error.__dict__)
