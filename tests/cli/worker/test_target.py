"""`module:app` that does not name an App: each mistake has its own sentence, and status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support.command import asynqio


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("talker", "'talker' does not name an App: write talker:app"),
        ("talker.py:app", "'talker.py:app' does not name an App: write talker:app"),
        ("./talker.py", "'./talker.py' does not name an App: write talker:app"),
        (":app", "':app' does not name an App: write module:app, such as shop.tasks:app"),
        ("talkr:app", "there is no module 'talkr', did you mean 'talker'?"),
        ("shop.tasks:app", "there is no module 'shop': give it as Python would import it from here"),
        ("talker:ap", "talker:ap: module 'talker' has no 'ap', did you mean 'app'?"),
        ("talker:zzz", "talker:zzz: module 'talker' has no 'zzz'; it has app"),
        ("talker:TALK", "talker:TALK: module 'talker' has no 'TALK'; it has app"),
        (
            "talker:nap",
            "talker:nap is a TaskFunction, not an App (call it in the module and name what it returns)",
        ),
        ("talker:app.mux", "talker:app.mux is a Mux, not an App"),
        ("talker:__name__", "talker:__name__ is a str, not an App"),
    ],
)
def test_what_is_wrong_with_it(here: Path, target: str, sentence: str) -> None:
    done = asynqio("worker", target, cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"asynqio: {sentence}\n"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it' ({file}, line 1;"),
        ("\n\nx = 1 / 0", "ZeroDivisionError: division by zero ({file}, line 3;"),
        ("x = (", "SyntaxError: '(' was never closed ({file}, line 1;"),
    ],
)
def test_a_module_that_cannot_be_imported(here: Path, code: str, sentence: str) -> None:
    (here / "broken.py").write_text(code)
    done = asynqio("worker", "broken:app", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert sentence.format(file=here / "broken.py") in done.stderr
    assert "--debug shows the traceback" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--concurrency", "0"], "concurrency=0 must be a whole number, at least 1"),
        (["--queues", "a=b"], "argument: queues='a=b' must look like critical=6,default=3"),
        (["--unknown-tasks", "burn"], "must be one of defer, fail, archive"),
        (["--broker", "mysql://x"], "the scheme must be one of"),
        (["--config", "none.toml"], "there is no configuration file 'none.toml'"),
    ],
)
def test_settings_that_are_wrong(here: Path, arguments: list[str], sentence: str) -> None:
    done = asynqio("worker", "talker:app", *arguments, cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert sentence in done.stderr


def test_an_app_in_a_package_below_the_current_directory(here: Path) -> None:
    (here / "shop").mkdir()
    (here / "shop" / "__init__.py").write_text("")
    (here / "shop" / "jobs.py").write_text("import talker\nclass Here:\n    app = talker.app\n")
    done = asynqio("worker", "shop.jobs:Here.mistake", cwd=here)
    assert done.stderr == "asynqio: shop.jobs:Here.mistake: a type has no 'mistake'\n"
