"""Go's routing rules, and middleware."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio import App, ConfigError, InvalidTask, Mux, SkipRetry, Task
from asynqio.mux import Next


def handler(name: str) -> Any:
    async def handle(task: Task) -> str:
        return name

    return handle


async def answer(mux: Mux, type: str) -> Any:
    route = mux.route(type)
    return None if route is None else await route.perform(Task(type))


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("image", "image"),
        ("image:resize", "image:resize"),
        ("image:resize:small", "image:resize"),
        ("image:rotate", "image:"),
        ("imagery:x", "image"),  # a plain prefix, no rule about segments
        ("email", None),
        ("imag", None),
    ],
)
async def test_the_exact_pattern_wins_then_the_longest_prefix(type: str, expected: str | None) -> None:
    mux = Mux()
    for pattern in ("image:", "image:resize", "image"):
        mux.handle(pattern, handler(pattern))
    assert await answer(mux, type) == expected
    assert mux.patterns() == ["image", "image:", "image:resize"]


async def test_a_handler_registered_later_counts_at_once() -> None:
    mux = Mux()
    mux.handle("a", handler("a"))
    assert await answer(mux, "ab") == "a"
    mux.handle("ab", handler("ab"))
    assert await answer(mux, "ab") == "ab"


async def test_types_of_others_never_fill_the_memory() -> None:
    mux = Mux()
    mux.handle("a", handler("a"))
    for number in range(25_000):
        mux.route(f"unknown:{number}")
    assert len(mux._resolved) <= 10_000


def test_programming_errors_are_refused_at_once() -> None:
    mux = Mux()
    mux.handle("a", handler("a"))
    with pytest.raises(ConfigError, match="already"):
        mux.handle("a", handler("a"))
    with pytest.raises(InvalidTask, match="blank"):
        mux.handle(" ", handler("a"))
    with pytest.raises(ConfigError, match="not a function"):
        mux.handle("b", 3)  # type: ignore[call-overload]

    def plain(task: Task, call_next: Next) -> None: ...

    with pytest.raises(ConfigError, match="async function"):
        mux.use(plain)  # type: ignore[type-var]


async def test_middleware_wraps_in_order_and_also_what_has_no_handler() -> None:
    app = App("memory://")
    calls: list[str] = []

    @app.middleware
    async def outer(task: Task, call_next: Next) -> Any:
        calls.append("outer in")
        try:
            return await call_next(task)
        finally:
            calls.append("outer out")

    @app.middleware
    async def inner(task: Task, call_next: Next) -> Any:
        if task.type == "nobody:knows":
            raise SkipRetry("the middleware decides")
        calls.append("inner")
        return await call_next(task)

    @app.task("work")
    async def work() -> None:
        calls.append("work")

    await work.enqueue()
    await app.enqueue(Task("nobody:knows"))
    assert await app.testing.run_all() == 2
    assert calls == ["outer in", "inner", "work", "outer out", "outer in", "outer out"]
