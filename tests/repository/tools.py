"""The linters that the tests of the repository call, and the files they read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
#: Where the tools of the virtual environment are.
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with these environment variables added."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def accepted(*command: str | Path, cwd: Path = ROOT) -> None:
    """The linter finds nothing."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> str:
    """The path of a program, from the virtual environment first. Without it the test is skipped; with CI it fails."""
    found = shutil.which(name, path=BIN) or shutil.which(name)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed")
    assert found is not None
    return found


def fits(schema: str, *files: Path) -> None:
    """The files fit a schema that check-jsonschema ships."""
    accepted(tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *files)


def read(path: str) -> Any:
    """A YAML file of the repository. (PyYAML reads the key `on` as True.)"""
    return yaml.safe_load((ROOT / path).read_text())
