"""Every numbered rule of the contract has a test that bears its number."""

from __future__ import annotations

import re
from pathlib import Path

from asynqio.brokers.contract import broker as base

TESTS = Path(__file__).parents[1]


def test_every_rule_of_the_contract_has_a_test_with_its_number() -> None:
    sentences = set(map(int, re.findall(r"^(\d+)\. ", base.__doc__ or "", re.MULTILINE)))
    assert sentences == set(range(1, len(sentences) + 1))
    tests = "".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert sentences == set(map(int, re.findall(r"def test_rule_(\d+)_", tests)))
