"""The public types: good uses pass mypy, and wrong ones fail on exactly the line that is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SNIPPETS = Path(__file__).parent / "snippets"
ROOT = SNIPPETS.parents[2]
GOOD = sorted((SNIPPETS / "good").glob("*.py"))
BAD = sorted((SNIPPETS / "bad").glob("*.py"))

_EXPECTED = re.compile(r"#\s*E: (.+)$")
_REPORTED = re.compile(r"^(?P<file>.+?\.py):(?P<line>\d+): (?P<kind>error|note): (?P<text>.*)$")

Reports = dict[str, dict[int, str]]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What one run of mypy says of all snippets: by file and line."""
    empty = tmp_path_factory.mktemp("mypy") / "mypy.ini"
    empty.write_text("[mypy]\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-color-output"),
            *("--config-file", str(empty), "--cache-dir", str(ROOT / ".mypy_cache" / "snippets")),
            *(str(path) for path in (*GOOD, *BAD)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Reports = defaultdict(lambda: defaultdict(str))
    for line in done.stdout.splitlines():
        match = _REPORTED.match(line)
        if match is None or match["kind"] == "note":
            continue
        found[Path(match["file"]).name][int(match["line"])] += match["text"] + "\n"
    return found


def expected_in(path: Path) -> dict[int, str]:
    """The marked lines of a snippet, and what must be said of each."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return {number: match[1] for number, text in lines if (match := _EXPECTED.search(text))}


def test_there_are_enough_of_both_kinds() -> None:
    assert len(GOOD) >= 5
    assert sum(len(expected_in(path)) for path in BAD) >= 10
    assert not any(expected_in(path) for path in GOOD)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_uses_pass(path: Path, reported: Reports) -> None:
    assert not reported.get(path.name)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_wrong_uses_fail_where_they_are_wrong(path: Path, reported: Reports) -> None:
    expected, found = expected_in(path), reported.get(path.name, {})
    assert expected, f"{path.name} expects no error at all"
    unseen = sorted(expected.keys() - found.keys())
    assert not unseen, f"{path.name}: mypy lets these lines pass: {unseen}"
    surplus = {line: found[line] for line in sorted(found.keys() - expected.keys())}
    assert not surplus, f"{path.name}: errors where none was expected: {surplus}"
    wrong = {line: found[line] for line, text in expected.items() if text not in found[line]}
    assert not wrong, f"{path.name}: other errors than expected: {wrong}"
