"""What a user can import is written down, exists, and means the same with and without an event loop."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asynqio
from asynqio import sync

DOCS = Path(__file__).parents[1] / "docs"
FACADES = [
    (asynqio.Client, sync.Client),
    (asynqio.Inspector, sync.Inspector),
    (asynqio.TaskHandle, asynqio.SyncTaskHandle),
]
#: Where several classes have a method of one name, it takes the same arguments and returns the same.
SHARED = [(asynqio.App, asynqio.Client), (asynqio.Inspector, asynqio.Client)]


def documented_names() -> list[str]:
    """The names of docs/reference/api.md: one line each."""
    return re.findall(r"^- `(\w+)`: \S", (DOCS / "reference" / "api.md").read_text(), re.MULTILINE)


def test_every_public_name_is_documented() -> None:
    names = documented_names()
    assert len(names) == len(set(names)), "a name has two lines"
    assert set(names) == set(asynqio.__all__)


@pytest.mark.parametrize("name", asynqio.__all__)
def test_every_name_resolves(name: str) -> None:
    assert getattr(asynqio, name) is not None
    assert name in dir(asynqio)


def test_the_type_checker_sees_the_same_names() -> None:
    source = Path(asynqio.__file__).read_text()
    seen = set(re.findall(r"^    from [\w.]+ import \w+ as (\w+)$", source, re.MULTILINE))
    assert seen == set(asynqio.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Appp"):
        asynqio.Appp  # type: ignore[attr-defined]  # noqa: B018


def test_importing_loads_no_driver_and_no_event_loop() -> None:
    code = "import asynqio, sys; print(*sys.modules.keys() & {'asyncio', 'sqlite3', 'msgspec', 'multiprocessing'})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""


def methods(of: type) -> dict[str, Callable[..., Any]]:
    return {
        name: member
        for name, member in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
    }


@pytest.mark.parametrize(("awaited", "blocking"), FACADES, ids=lambda kind: kind.__name__)
def test_the_sync_facade_has_the_same_methods(awaited: type, blocking: type) -> None:
    own = {"open", "close"}  # for objects that live as long as their process
    if blocking is asynqio.SyncTaskHandle:
        own = set()
    assert methods(blocking).keys() - own == methods(awaited).keys()


def _same(awaited: Callable[..., Any], blocking: Callable[..., Any]) -> None:
    first, second = inspect.signature(awaited), inspect.signature(blocking)
    if inspect.isasyncgenfunction(awaited):  # a plain generator on the other side
        first = first.replace(return_annotation=first.return_annotation.removeprefix("Async"))
    # What is iterated over with `async for` there is with `for` here.
    first = first.replace(return_annotation=first.return_annotation.replace("Async", ""))
    assert first == second, f"{awaited.__qualname__}{first} is not {blocking.__qualname__}{second}"


@pytest.mark.parametrize(("awaited", "blocking"), FACADES, ids=lambda kind: kind.__name__)
def test_the_sync_facade_has_the_same_signatures(awaited: type, blocking: type) -> None:
    others = methods(blocking)
    for name, method in methods(awaited).items():
        assert not inspect.iscoroutinefunction(others[name])
        _same(method, others[name])


@pytest.mark.parametrize(("one", "other"), SHARED, ids=lambda kind: kind.__name__)
def test_a_verb_takes_the_same_arguments_everywhere(one: type, other: type) -> None:
    verbs = methods(one).keys() & methods(other).keys() - {"__init__"}
    assert verbs >= {"find", "cancel", "delete"}
    for name in verbs:
        assert inspect.signature(methods(one)[name]) == inspect.signature(methods(other)[name]), name


def test_an_app_has_every_verb_of_a_client() -> None:
    assert methods(asynqio.Client).keys() <= methods(asynqio.App).keys()


@pytest.mark.parametrize("kind", [asynqio.App, asynqio.Client, asynqio.Inspector])
def test_a_task_comes_first_and_its_queue_is_a_keyword(kind: type) -> None:
    found = 0
    for name, method in methods(kind).items():
        parameters = inspect.signature(method).parameters
        assert (
            "id" not in parameters
            or "schedule" in name
            or name in {"queues_with", "fires", "upcoming", "trigger"}
        )
        if "queue" in parameters and parameters["queue"].default == "default":
            found += 1
            assert parameters["queue"].kind is inspect.Parameter.KEYWORD_ONLY
            assert parameters.keys() & {"task", "tasks"}, name
    assert found >= 6
