"""`App.include` imports task modules and says what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio import App, ConfigError

TASK = "from parcel import app\n\n\n@app.task('{type}')\ndef run() -> None: ...\n"


@pytest.fixture
def parcel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `parcel` with an app, and tasks in modules and sub-packages."""
    root = tmp_path / "parcel"
    for folder in (root, root / "mail", root / "mail" / "deep"):
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    (root / "__init__.py").write_text("from asynqio import App\n\napp = App('memory://')\n")
    (root / "tasks.py").write_text(TASK.format(type="top"))
    (root / "mail" / "tasks.py").write_text(TASK.format(type="mail"))
    (root / "mail" / "deep" / "tasks.py").write_text(TASK.format(type="deep"))
    (root / "__main__.py").write_text("raise SystemExit('a program, not a task module')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "parcel"]:
        del sys.modules[name]


def parcel_app() -> App:
    from parcel import app  # type: ignore[import-not-found]

    assert isinstance(app, App)
    return app


def test_a_module_by_its_name(parcel: Path) -> None:
    assert parcel_app().include("parcel.tasks") == ["parcel.tasks"]
    assert set(parcel_app().tasks) == {"top"}


def test_a_wildcard_reaches_into_sub_packages(parcel: Path) -> None:
    names = parcel_app().include("parcel.*")
    assert names == [
        "parcel.mail",
        "parcel.mail.deep",
        "parcel.mail.deep.tasks",
        "parcel.mail.tasks",
        "parcel.tasks",
    ]
    assert set(parcel_app().tasks) == {"top", "mail", "deep"}


def test_a_wildcard_in_the_middle(parcel: Path) -> None:
    assert parcel_app().include("parcel.*.tasks") == ["parcel.mail.deep.tasks", "parcel.mail.tasks"]


def test_an_app_may_include_the_package_that_declares_it(parcel: Path) -> None:
    (parcel / "__init__.py").write_text(
        "from asynqio import App\n\napp = App('memory://')\napp.include('parcel.*')\n"
    )
    assert set(parcel_app().tasks) == {"top", "mail", "deep"}


def test_every_module_that_fails_is_named_with_what_failed(parcel: Path) -> None:
    (parcel / "tasks.py").write_text("import asynqio\n\n1 / 0\n")
    with pytest.raises(ConfigError) as caught:
        parcel_app().include("parcel.tasks", "parcel.taks", "parcel.mail.tasks", "nowhere")
    first, second, third = caught.value.problems
    assert first == (
        "include: module 'parcel.tasks' cannot be imported: ZeroDivisionError: division by zero "
        f"({parcel / 'tasks.py'}, line 3)"
    )
    assert second == "include: there is no module 'parcel.taks', did you mean 'parcel.tasks'?"
    assert third == "include: there is no module 'nowhere'"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert set(parcel_app().tasks) == {"mail"}


def test_a_missing_dependency_is_not_mistaken_for_a_missing_task_module(parcel: Path) -> None:
    (parcel / "tasks.py").write_text("import no_such_library\n")
    with pytest.raises(ConfigError, match=r"module 'parcel\.tasks' cannot be imported: ModuleNotFound"):
        parcel_app().include("parcel.tasks")


def test_a_wrong_declaration_names_the_module(parcel: Path) -> None:
    (parcel / "tasks.py").write_text("from parcel import app\n\napp.task(' ')(print)\n")
    with pytest.raises(ConfigError, match=r"'parcel.tasks' cannot be imported: .*tasks.py, line 3"):
        parcel_app().include("parcel.tasks")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("*", "must begin with the name of a package"),
        ("parcel.tasks.*", "is a module, not a package"),
        ("parcel.nothing*", "no module of package 'parcel' matches"),
        ("parcel/tasks.py", "is not a module name"),
        ("", "is not a module name"),
    ],
)
def test_what_names_no_module_is_refused(parcel: Path, pattern: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parcel_app().include(pattern)
