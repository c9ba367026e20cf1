"""After a fork, an object of the parent works in the child, or raises at once and says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.conftest import BROKERS, broker_url

#: What a child gets from a store that two processes cannot share after a fork.
REFUSALS = {
    "memory": "WrongProcess memory:// was in use when this process was forked",
    "sqlite": "WrongProcess {path} was open when this process was forked",
}


@pytest.fixture(params=[*BROKERS, "remote"])
def broker(request: pytest.FixtureRequest) -> str:
    """The kind of the broker."""
    return str(request.param)


@pytest.fixture
def url(broker: str, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return broker_url(broker, tmp_path)


def run(name: str, url: str) -> list[str]:
    """The lines that a program of `forks` printed."""
    command = [sys.executable, "-W", "error", "-m", "tests.conformance.callers.forks", name, url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def check(lines: list[str], broker: str, tmp_path: Path) -> None:
    """The parent works before and after; the child works, or is refused at once."""
    children = [line.removeprefix("child ") for line in lines if line.startswith("child")]
    assert len(children) >= 2, lines
    assert [line for line in lines if not line.startswith("child")] == ["parent ok"] * (
        len(lines) - len(children)
    )
    if broker in REFUSALS:
        refusal = REFUSALS[broker].format(path=tmp_path / "tasks.db")
        assert all(line.startswith(refusal) for line in children), children
        assert all("sqlite://" in line or "before the fork" in line for line in children)
    else:
        assert set(children) == {"ok"}


@pytest.mark.parametrize(
    "name", ["blocking_client", "app_in_use", "broker_of_the_user", "multiprocessing_pool"]
)
def test_an_object_in_use(name: str, broker: str, url: str, tmp_path: Path) -> None:
    check(run(name, url), broker, tmp_path)


@pytest.mark.parametrize("name", ["closed_client", "unused_app"])
def test_an_object_that_is_not_open(name: str, broker: str, url: str, tmp_path: Path) -> None:
    if name == "closed_client" and broker == "memory":
        check(run(name, url), broker, tmp_path)  # it holds a task of the parent
        return
    assert run(name, url) == ["child ok", "child ok", "parent ok"]


def test_a_handler_that_forks(broker: str, url: str, tmp_path: Path) -> None:
    *lines, last = run("from_a_handler", url)
    assert last == "worker ok"
    check(lines, broker, tmp_path)


def test_a_fork_inside_an_event_loop(broker: str, url: str) -> None:
    """The running loop does not exist in the child: a call raises at once, and the parent's connection stays up."""
    *children, last = run("inside_a_loop", url)
    assert last == "parent ok"
    assert len(children) == 2
    assert not any("died" in line for line in children), children
