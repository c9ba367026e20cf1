"""Runs every example and compares its output with its last comment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
MARK = "# Output:\n"


def expected(source: str) -> str:
    """The output in the last comment of an example."""
    lines = source.partition(MARK)[2].splitlines(keepends=True)
    return "".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    source = example.read_text()
    assert MARK in source, "an example ends with its output"
    assert len(source.splitlines()) <= 80, "an example shows one feature"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("ASYNQIO_")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected(source), done.stderr
    assert "Exception ignored" not in done.stderr
    assert "never awaited" not in done.stderr
    assert not list(tmp_path.iterdir()), "an example leaves no files"
