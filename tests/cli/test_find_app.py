"""Invalid `MODULE:APP` arguments and settings: one line each, and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support.command import asynqio


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("talker", "'talker' does not name an App: write talker:app"),
        ("talker.py:app", "'talker.py:app' does not name an App: write talker:app"),
        ("./talker.py", "'./talker.py' does not name an App: write talker:app"),
        (":app", "':app' does not name an App: write module:app, such as shop.tasks:app"),
        ("talkr:app", "there is no module 'talkr', did you mean 'talker'?"),
        (
            "shop.tasks:app",
            "there is no module 'shop'; name it as an import statement in this directory would",
        ),
        ("talker:ap", "talker:ap: module 'talker' has no 'ap', did you mean 'app'?"),
        ("talker:zzz", "talker:zzz: module 'talker' has no 'zzz'; it has app"),
        ("talker:TALK", "talker:TALK: module 'talker' has no 'TALK'; it has app"),
        (
            "talker:nap",
            "talker:nap is a TaskFunction, not an App (assign the App to a variable of the module and name that)",
        ),
        ("talker:app.mux", "talker:app.mux is a Mux, not an App"),
        ("talker:__name__", "talker:__name__ is a str, not an App"),
    ],
)
def test_invalid_targets(app_dir: Path, target: str, message: str) -> None:
    done = asynqio("worker", target, cwd=app_dir)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"asynqio: {message}\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it' ({file}, line 1;"),
        ("\n\nx = 1 / 0", "ZeroDivisionError: division by zero ({file}, line 3;"),
        ("x = (", "SyntaxError: '(' was never closed ({file}, line 1;"),
    ],
)
def test_a_module_that_cannot_be_imported(app_dir: Path, code: str, message: str) -> None:
    (app_dir / "broken.py").write_text(code)
    done = asynqio("worker", "broken:app", cwd=app_dir)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert message.format(file=app_dir / "broken.py") in done.stderr
    assert "--debug shows the traceback" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concurrency", "0"], "concurrency=0 must be a whole number, at least 1"),
        (["--queues", "a=b"], "argument: queues='a=b' must look like critical=6,default=3"),
        (["--unknown-tasks", "burn"], "must be one of defer, fail, archive"),
        (["--broker", "mysql://x"], "the scheme must be one of"),
        (["--config", "none.toml"], "there is no configuration file 'none.toml'"),
    ],
)
def test_invalid_settings(app_dir: Path, arguments: list[str], message: str) -> None:
    done = asynqio("worker", "talker:app", *arguments, cwd=app_dir)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_an_app_in_a_package_below_the_current_directory(app_dir: Path) -> None:
    (app_dir / "shop").mkdir()
    (app_dir / "shop" / "__init__.py").write_text("")
    (app_dir / "shop" / "jobs.py").write_text("import talker\nclass Here:\n    app = talker.app\n")
    done = asynqio("worker", "shop.jobs:Here.mistake", cwd=app_dir)
    assert done.stderr == "asynqio: shop.jobs:Here.mistake: a type has no 'mistake'\n"
