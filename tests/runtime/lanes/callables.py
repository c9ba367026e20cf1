"""Callables of every kind, for the tests of what can be a handler. Importable, for the process lane."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any


def undecorated(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain decorator that returns what the function returned: of a coroutine function, a coroutine."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


async def double(number: int) -> int:
    return 2 * number


@undecorated
async def decorated(number: int) -> int:
    return 2 * number


@undecorated
@undecorated
async def decorated_twice(number: int) -> int:
    return 2 * number


async def nested(number: int) -> Any:
    return double(number)


class Later:
    """An object that can be awaited and is no coroutine."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __await__(self) -> Generator[Any, None, int]:
        return double(self.number).__await__()


def awaitable(number: int) -> Any:
    return Later(number)


def plain(number: int) -> int:
    return 2 * number


class Service:
    """Methods and a call."""

    async def method(self, number: int) -> int:
        return 2 * number

    def plain_method(self, number: int) -> int:
        return 2 * number

    @staticmethod
    async def static(number: int) -> int:
        return 2 * number

    @classmethod
    def of_class(cls, number: int) -> int:
        return 2 * number


class AsyncCall:
    async def __call__(self, number: int) -> int:
        return 2 * number


class PlainCall:
    def __call__(self, number: int) -> int:
        return 2 * number


@types.coroutine
def generator_coroutine(number: int) -> Any:
    return (yield from double(number).__await__())


def generator(number: int) -> Iterator[int]:
    yield number


async def async_generator(number: int) -> AsyncIterator[int]:
    yield number


class GeneratorCall:
    def __call__(self, number: int) -> Iterator[int]:
        yield number


@undecorated
def decorated_generator(number: int) -> Iterator[int]:
    yield number


@undecorated
async def decorated_async_generator(number: int) -> AsyncIterator[int]:
    yield number


@contextlib.contextmanager
def context_manager(number: int) -> Iterator[int]:
    yield number


@contextlib.asynccontextmanager
async def async_context_manager(number: int) -> AsyncIterator[int]:
    yield number


async def returns_generator(number: int) -> Iterator[int]:
    return generator(number)


class Odd(BaseException):
    """Neither an Exception nor one of Python's own."""


EXITS: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "Odd": Odd,
}


def leave(kind: str) -> None:
    raise EXITS[kind]()


async def leave_async(kind: str) -> None:
    leave(kind)


async def leave_in_group(kind: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(leave_async(kind))
        group.create_task(asyncio.sleep(3600))


async def leave_in_gather(kind: str) -> None:
    await asyncio.gather(asyncio.sleep(0), leave_async(kind))


async def leave_in_wait_for(kind: str) -> None:
    await asyncio.wait_for(leave_async(kind), 10)


async def leave_in_task(kind: str) -> None:
    await asyncio.create_task(leave_async(kind))


async def leave_in_nested_task(kind: str) -> None:
    await asyncio.create_task(leave_in_gather(kind))


async def leave_in_thread(kind: str) -> None:
    await asyncio.to_thread(leave, kind)


#: Ways to leave a handler.
WAYS: dict[str, Callable[[str], Any]] = {
    "plain": leave,
    "direct": leave_async,
    "TaskGroup": leave_in_group,
    "gather": leave_in_gather,
    "wait_for": leave_in_wait_for,
    "create_task": leave_in_task,
    "nested": leave_in_nested_task,
    "to_thread": leave_in_thread,
}
