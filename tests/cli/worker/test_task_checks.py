"""`asynqio worker --include`, `--strict-tasks`, and the warnings about tasks that this worker cannot run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.support.command import asynqio, command

APP = """
from asynqio import App
app = App("memory://")
"""

TASKS = """
from shop.main import app

@app.task("{type}", queue="{queue}")
async def {type}() -> None: ...
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with a package whose App is in one module and whose tasks are in others."""
    package = tmp_path / "shop"
    for folder in (package, package / "orders", package / "mail"):
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    (package / "main.py").write_text(APP)
    (package / "orders" / "tasks.py").write_text(TASKS.format(type="pack", queue="default"))
    (package / "mail" / "tasks.py").write_text(TASKS.format(type="send", queue="mail"))
    return tmp_path


def started(folder: Path, *arguments: str) -> str:
    """Run a worker until it has started. Returns its output."""
    with command("worker", "shop.main:app", *arguments, cwd=folder) as worker:
        worker.line("server started")
        worker.signal(signal.SIGTERM)
        assert worker.end() == 0
        return worker.text


def test_include_imports_modules_by_name_and_by_pattern(shop: Path) -> None:
    text = started(shop, "--include", "shop.orders.tasks")
    assert "handlers for pack" in text
    text = started(shop, "--include", "shop.*.tasks", "-q", "default,mail")
    assert "handlers for pack, send" in text
    assert "WARNING" not in text.replace("WARNING asynqio.worker[", "", 1), "only that of memory://"
    text = started(
        shop, "--include", "shop.orders.tasks", "--include", "shop.mail.tasks", "-q", "default,mail"
    )
    assert "handlers for pack, send" in text


def test_include_of_an_unknown_module_is_a_configuration_error(shop: Path) -> None:
    done = asynqio("worker", "shop.main:app", "--include", "shop.nothing", cwd=shop)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("asynqio: include: there is no module 'shop.nothing'")


def test_a_worker_without_handlers_warns(shop: Path) -> None:
    text = started(shop)
    assert "WARNING asynqio.worker" in text
    assert "the app has no task handler" in text
    assert "--include 'shop.*'" in text


def test_tasks_of_a_queue_that_is_not_served_are_a_warning(shop: Path) -> None:
    text = started(shop, "--include", "shop.*.tasks")
    assert "tasks of this app go to queue 'mail', which this server does not serve: 'send'" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the app has no task handler"),
        (["--include", "shop.*.tasks"], "tasks of this app go to queue 'mail'"),
    ],
)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_with_strict_tasks_the_warnings_are_errors(
    shop: Path, arguments: list[str], message: str, processes: str
) -> None:
    words = ("worker", "shop.main:app", "--strict-tasks", "-p", processes, *arguments)
    done = asynqio(*words, cwd=shop)
    assert done.returncode == 2
    assert f"asynqio: {message}" in done.stderr
    assert "server started" not in done.stderr
    text = started(shop, "--strict-tasks", "--include", "shop.*.tasks", "--queues", "default,mail")
    assert "server started" in text
