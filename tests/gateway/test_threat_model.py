"""The page of the threat model: the tests that it names exist, and it lists every requirement that is tested."""

from __future__ import annotations

import re

from tests.pages import ROOT

PAGE = ROOT / "docs" / "threat-model.md"
TESTS = ROOT / "tests"
KINDS = set("STRIDE")


def test_every_test_on_the_page_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE.read_text())
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (TESTS / file).is_file()
        or not re.search(rf"^(async )?def {test}\(", (TESTS / file).read_text(), re.MULTILINE)
    ]
    assert missing == []
    assert len(named) > 50


def test_every_tested_requirement_is_on_the_page() -> None:
    tested = {
        id
        for file in TESTS.rglob("test_*.py")
        for id in re.findall(r'^@pytest\.mark\.requirement\("([\w-]+)"\)', file.read_text(), re.MULTILINE)
    }
    listed = re.findall(r"^\| ([A-Z]+-[A-Z]+-\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert len(set(listed)) == len(listed), "listed twice"
    assert tested - set(listed) == set(), "tested, but not on the page"
    assert set(listed) - tested == set(), "on the page, but no test is marked with it"


def test_every_threat_has_a_kind_and_a_test_or_a_reason() -> None:
    sections = PAGE.read_text().partition("\n## ")[2].partition("\n## Requirements")[0]
    rows = re.findall(r"^\| ([A-Z, ]+) \| (.+)$", sections, re.MULTILINE)
    assert len(rows) > 40
    for kinds, rest in rows:
        assert set(kinds.split(", ")) <= KINDS
        assert "::test_" in rest or "*Not yet*" in rest or "*Accepted*" in rest, rest
