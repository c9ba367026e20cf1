"""Which callables can run as handlers, and what their return values mean."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from asynqio.errors import ConfigError, HandlerMisuse, SkipRetry

#: Values of these types are results as they are: most handlers return one.
PLAIN_TYPES = frozenset({type(None), bool, int, float, str, bytes, dict, list, tuple})
#: A handler may return an awaitable of an awaitable, to this depth.
MAX_NESTED = 10
#: First parameters of functions that need an instance or a class.
_BOUND_NAMES = frozenset({"self", "cls"})


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether a call returns a coroutine: also for a partial, a static or bound method, and an object with an async
    `__call__`. A plain decorator around a coroutine function is not recognized: `finish` awaits its value."""
    return any(inspect.iscoroutinefunction(one) for one in _bodies(function))


def callable_problems(function: object) -> list[str]:
    """Why calling the function would not run its body; empty if it would."""
    if isinstance(function, classmethod):
        return [_method_problem(function)]
    if not callable(function):
        return [f"{function!r} is not a function"]
    inner = _innermost(function)
    if inspect.isclass(inner):
        return [f"{inner!r} is a class: a call would only construct an object; declare a function"]
    for body in _bodies(function):
        if inspect.isasyncgenfunction(body):
            return [f"{inner!r} is an async generator function: its body would not run; remove `yield`"]
        if inspect.isgeneratorfunction(body) and not _is_generator_coroutine(body):
            return [f"{inner!r} is a generator function: its body would not run; remove `yield`"]
    if _is_method(function):
        return [_method_problem(function)]
    return []


def check_callable(function: object, what: str) -> None:
    """Raises ConfigError if calling the function would not run its body; `what` names its use."""
    problems = callable_problems(function)
    if problems:
        raise ConfigError([f"{what}: {problem}" for problem in problems])


async def finish(value: Any) -> Any:
    """What a handler returned, awaited if it is awaitable. Raises HandlerMisuse."""
    for _ in range(MAX_NESTED):
        if type(value) in PLAIN_TYPES:
            return value
        if not inspect.isawaitable(value):
            refuse_unrun(value)
            return value
        value = await value
    raise HandlerMisuse(f"awaitables nested more than {MAX_NESTED} deep") from SkipRetry()


def refuse_unrun(value: object) -> None:
    """Raises HandlerMisuse for a value with a body that nobody runs, such as a generator."""
    if isinstance(value, AsyncGenerator):
        kind = "an async generator"
    elif isinstance(value, Generator):
        kind = "a generator"
    elif isinstance(getattr(value, "gen", None), Generator | AsyncGenerator):  # of @contextmanager
        kind = "a context manager of a generator"
    else:
        return
    raise HandlerMisuse(kind) from SkipRetry()


def _innermost(function: Any) -> Any:
    """The function inside partials, static methods and bound methods."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, staticmethod) or inspect.ismethod(function):
            function = function.__func__
        else:
            return function


def _bodies(function: Any) -> list[Any]:
    """The function that a call runs: the innermost one, or the `__call__` of an object."""
    inner = _innermost(function)
    call = getattr(type(inner), "__call__", None)  # noqa: B004 (the function, not whether there is one)
    return [inner, _innermost(call)] if inspect.isfunction(_innermost(call)) else [inner]


def _is_generator_coroutine(function: Any) -> bool:
    """Whether it is decorated with `types.coroutine`."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _is_method(function: Any) -> bool:
    """Whether it is written in a class and needs the instance or the class as its first argument."""
    if not inspect.isfunction(function):
        return False
    owner = function.__qualname__.rpartition("<locals>.")[2]
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return "." in owner and bool(names) and names[0] in _BOUND_NAMES


def _method_problem(function: Any) -> str:
    name = getattr(function, "__qualname__", function)
    return (
        f"{name} is a method: a worker has no object to call it with; "
        "write a function outside the class, or make it a @staticmethod"
    )
