"""What is published to PyPI: the sdist, and the wheel that is built from it. PyPI itself cannot be asked here."""

from __future__ import annotations

import email
import re
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import asynqio
from tests.repository.tools import ROOT, accepted, run, tool

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class Package(NamedTuple):
    """The names of the files, and the metadata of the wheel."""

    sdist: set[str]
    wheel: set[str]
    metadata: Message


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("dist")
    accepted(tool("uv"), "build", "--quiet", "--python", tool("python"), "--out-dir", folder, ROOT)
    [sdist] = folder.glob("*.tar.gz")
    [wheel] = folder.glob("*.whl")
    with tarfile.open(sdist) as packed:
        # The first part of each name is that of the package with its version
        files = {str(Path(*Path(member.name).parts[1:])) for member in packed if member.isfile()}
    with zipfile.ZipFile(wheel) as zipped:
        [name] = [name for name in zipped.namelist() if name.endswith(".dist-info/METADATA")]
        return Package(files, set(zipped.namelist()), email.message_from_bytes(zipped.read(name)))


def sources() -> set[str]:
    """All files below src/ that are no by-product."""
    return {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "asynqio").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(package: Package) -> None:
    assert {name for name in package.wheel if ".dist-info/" not in name} == sources()
    assert {"asynqio/py.typed", "asynqio/__init__.py"} <= package.wheel
    assert {Path(name).suffix for name in sources()} >= {".py", ".lua"}


def test_the_sdist_can_be_tested(package: Package) -> None:
    needed = {
        "Makefile",
        "constraints.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "SECURITY.md",
        "mkdocs.yml",
    }
    assert needed - package.sdist == set()
    assert {f"src/{name}" for name in sources()} - package.sdist == set()
    assert "tests/conftest.py" in package.sdist
    unwanted = [
        name for name in package.sdist if name.startswith((".venv", "site/", "dist/")) or ".cache" in name
    ]
    assert unwanted == []


def test_the_project_says_where_everything_is(package: Package) -> None:
    links = [line.split(", ")[1] for line in package.metadata.get_all("Project-URL", [])]
    assert set(links) == set(PROJECT["urls"].values())
    assert PROJECT["urls"].keys() == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    assert package.metadata["License-Expression"] == "MIT"


def test_the_page_on_pypi_has_no_dead_link(package: Package) -> None:
    readme = package.metadata.get_payload()
    assert isinstance(readme, str)
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(links) > 10
    assert [link for link in links if not re.match(r"https?://|#", link)] == []


def test_there_is_one_version() -> None:
    assert asynqio.__version__ == PROJECT["version"]


def test_pyproject_fits_its_schema() -> None:
    accepted(tool("validate-pyproject"), ROOT / "pyproject.toml")


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_everything_that_is_installed_for_development_is_pinned() -> None:
    listed = run(tool("uv"), "pip", "freeze", "--python", tool("python"), "--exclude-editable")
    installed = {normalized(line.partition("==")[0]) for line in listed.stdout.split() if "==" in line}
    pinned = {normalized(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().split()}
    assert len(installed) > 50
    assert installed - pinned - {"pip", "setuptools"} == set()
