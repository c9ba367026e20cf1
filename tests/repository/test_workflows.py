"""The workflows, by actionlint and by rules of our own.

GitHub cannot run here: that the actions do what they promise, that the runners have the packages, and that PyPI and
GitHub Pages accept a publication is seen there only."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.repository.tools import ROOT, accepted, fits, read, tool

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOADED = {path.stem: read(f".github/workflows/{path.name}") for path in WORKFLOWS}
each_workflow = pytest.mark.parametrize("name", LOADED)


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = LOADED[name]["jobs"]
    return found


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in jobs(name).values() for step in job.get("steps", [])]


def test_the_workflows_are_those_that_are_documented() -> None:
    assert LOADED.keys() == {"check", "docs", "release"}


def test_actionlint_finds_nothing() -> None:
    folder = ROOT / "tests" / "repository" / "go"  # its go.mod pins the version
    accepted(tool("go"), "tool", "actionlint", "-shellcheck", tool("shellcheck"), *WORKFLOWS, cwd=folder)


def test_the_workflows_fit_their_schema() -> None:
    fits("github-workflows", *WORKFLOWS)


def test_shellcheck_finds_nothing_in_our_scripts() -> None:
    accepted(tool("shellcheck"), ROOT / ".ci" / "run", ROOT / "tests" / "services" / "install")


@each_workflow
def test_a_workflow_may_read_and_no_more(name: str) -> None:
    assert LOADED[name]["permissions"] == {"contents": "read"}


def test_only_publishing_jobs_have_more_permissions() -> None:
    more = {
        (name, job): jobs(name)[job]["permissions"]
        for name in LOADED
        for job in jobs(name)
        if "permissions" in jobs(name)[job]
    }
    assert more == {
        ("docs", "deploy"): {"pages": "write", "id-token": "write"},
        ("release", "publish"): {"id-token": "write"},
    }


@each_workflow
def test_runs_do_not_pile_up(name: str) -> None:
    assert LOADED[name]["concurrency"]["group"]


@each_workflow
def test_every_job_ends_in_time(name: str) -> None:
    assert [
        job for job, content in jobs(name).items() if not {"timeout-minutes", "uses"} & content.keys()
    ] == []


@each_workflow
def test_actions_are_pinned_and_do_not_keep_credentials(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert [action for action in used if not re.search(r"@(v\d+|release/v\d+)$", action)] == []
    checkouts = [step for step in steps(name) if step.get("uses", "").startswith("actions/checkout@")]
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


def test_every_supported_python_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = jobs("check")["test"]["strategy"]["matrix"]["python"]
    claimed = {
        found[1] for kind in project["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", kind))
    }
    assert claimed <= set(tested)
    assert project["requires-python"] == f">={tested[0]}"


@each_workflow
def test_every_make_target_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {
        target for step in steps(name) for target in re.findall(r"\bmake ([a-z-]+)", str(step.get("run", "")))
    }
    assert called - targets == set()


def test_a_release_is_checked_first_and_needs_no_secret() -> None:
    assert set(jobs("release")["publish"]["needs"]) == {"check", "build"}
    assert jobs("release")["publish"]["environment"]["name"] == "pypi"
    text = "".join(path.read_text() for path in WORKFLOWS)
    assert "secrets." not in text
    assert "pull_request_target" not in text
