"""Exceptions that are hard to carry from one process to another, and a handler that raises them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from asynqio import RetryIn, SkipRetry


class ShopError(Exception):
    """The base class that policies name."""


class Mixin:
    """A base class that is no exception."""


class TwoArguments(ShopError):
    """Unpickling it fails: its constructor expects two arguments."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


class OneArgument(ShopError):
    """Unpickling it changes its text."""

    def __init__(self, code: int | str) -> None:
        super().__init__(f"code {code}")


@dataclass(frozen=True)
class Frozen(ShopError):
    """Refuses every attribute: causes and notes as well."""

    code: int = 1

    def __str__(self) -> str:
        return f"code {self.code}"


class NoAttributes(ShopError):
    """Refuses attributes and notes, and can be pickled."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError("read-only")

    def add_note(self, note: str, /) -> NoReturn:
        raise TypeError("no notes")


class HoldsLock(ShopError, Mixin):
    """One of its attributes cannot be pickled, another can."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.lock = threading.Lock()


class HoldsLockInArguments(ShopError, LookupError):
    """Its text needs what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__(5, "broken", threading.Lock())

    def __str__(self) -> str:
        return f"{self.args[1]} {type(self.args[2]).__name__}"


class NoText(ShopError):
    """It has no text and cannot be pickled."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __reduce__(self) -> NoReturn:
        raise ValueError("no pickling")


class NoSubclasses(ShopError):
    """Neither it nor a stand-in can be made by the usual means."""

    def __init__(self, code: int) -> None:
        self.lock = threading.Lock()
        super().__init__(self.lock)

    def __init_subclass__(cls) -> None:
        raise TypeError("no subclasses")


def local() -> None:
    class Local(TwoArguments, KeyError):
        pass

    raise Local(7, "local")


def locals_directive() -> None:
    class Enough(SkipRetry):
        def __reduce__(self) -> NoReturn:
            raise ValueError("no pickling")

    raise Enough("enough")


def group() -> None:
    raise ExceptionGroup("two", [ValueError("first"), TwoArguments(7, "second")])


def cycle() -> None:
    first, second = ShopError("first"), ShopError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def chain(last: BaseException, length: int) -> BaseException:
    """Exceptions of which each is the cause of the one before."""
    error = last
    for number in range(length):
        effect = ShopError(f"number {number}")
        effect.__cause__ = error
        error = effect
    return error


def long_chain() -> None:
    raise chain(ShopError("last"), 5_000)


def directive_at_the_end() -> None:
    raise chain(RetryIn(3600), 5_000)


def context_chain() -> None:
    error: BaseException = ShopError("last")
    for number in range(5_000):
        effect = ShopError(f"number {number}")
        effect.__context__ = error
        error = effect
    raise error


RAISES: dict[str, Callable[[], object]] = {
    one.__name__: one
    for one in (
        local,
        locals_directive,
        group,
        cycle,
        long_chain,
        directive_at_the_end,
        context_chain,
    )
}
ERRORS: dict[str, Callable[[], BaseException]] = {
    "TwoArguments": lambda: TwoArguments(7, "odd"),
    "OneArgument": lambda: OneArgument(7),
    "Frozen": lambda: Frozen(7),
    "NoAttributes": lambda: NoAttributes("seven"),
    "HoldsLock": lambda: HoldsLock(7),
    "HoldsLockInArguments": HoldsLockInArguments,
    "NoText": NoText,
    "NoSubclasses": lambda: NoSubclasses(7),
}


def fail(how: str, with_cause: bool = False) -> None:
    if how in RAISES:
        RAISES[how]()
    elif with_cause:
        raise ERRORS[how]() from ValueError("the cause")
    else:
        raise ERRORS[how]()
