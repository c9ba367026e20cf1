"""Dependabot, issue forms, the pull request template and git hooks, by schema: GitHub itself cannot run here."""

from __future__ import annotations

import re
import shutil

from tests.repository.tools import ROOT, accepted, fits, read, tool

GITHUB = ROOT / ".github"


def test_the_files_fit_their_schemas() -> None:
    fits("dependabot", GITHUB / "dependabot.yml")
    fits(
        "github-issue-forms", GITHUB / "ISSUE_TEMPLATE" / "bug.yml", GITHUB / "ISSUE_TEMPLATE" / "feature.yml"
    )
    fits("github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml")
    accepted(tool("pre-commit"), "validate-config")


def test_dependabot_sees_every_go_module() -> None:
    [go] = [one for one in read(".github/dependabot.yml")["updates"] if one["package-ecosystem"] == "gomod"]
    modules = [path for folder in ("benchmarks", "tests") for path in (ROOT / folder).rglob("go.mod")]
    assert set(go["directories"]) == {f"/{path.parent.relative_to(ROOT)}" for path in modules}


def test_dependabot_sees_every_other_kind_of_dependency() -> None:
    kinds = {one["package-ecosystem"] for one in read(".github/dependabot.yml")["updates"]}
    assert kinds == {"pip", "gomod", "cargo", "github-actions", "docker", "docker-compose"}


def test_the_bug_form_knows_every_broker() -> None:
    form = read(".github/ISSUE_TEMPLATE/bug.yml")
    [brokers] = [field for field in form["body"] if field.get("id") == "broker"]
    folders = [path.name for path in (ROOT / "src/asynqio/brokers").iterdir() if path.is_dir()]
    known = " ".join(brokers["attributes"]["options"]).lower()
    assert [
        name for name in folders if name != "contract" and not name.startswith("_") and name not in known
    ] == []


def test_hooks_of_ours_call_programs_that_are_installed() -> None:
    [local] = [repo for repo in read(".pre-commit-config.yaml")["repos"] if repo["repo"] == "local"]
    programs = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in local["hooks"]}
    assert {name for name in programs if shutil.which(tool(name)) is None} == set()


def test_everything_that_people_are_sent_to_exists() -> None:
    files = [*GITHUB.rglob("*.yml"), *GITHUB.rglob("*.md")]
    linked = {
        path
        for file in files
        for path in re.findall(r"asynqio/asynqio/blob/main/([\w./-]+)", file.read_text())
    }
    assert linked == {"SECURITY.md"}
    assert (ROOT / "SECURITY.md").is_file()
