"""Patterns are anchored globs: `*`, `?`, and every other character stands for itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.access.grants import Grant
from asynqio.core.access.patterns import MAX_PATTERN, matches, matches_everything


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "", True),
        ("*", "email:send", True),
        ("a*", "a", True),
        ("a*", "ba", False),
        ("*a", "ab", False),
        ("email", "email:send", False),
        ("email:send", "email", False),
        ("email:*", "email:send", True),
        ("EMAIL:*", "email:send", False),
        ("e*l:*d", "email:send", True),
        ("a*a", "a", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("?", "", False),
        ("?", "é", True),
        ("*?", "", False),
        ("*b*c", "abcbc", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_a_pattern_matches_the_whole_name(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.requirement("SEC-GW-13")
@pytest.mark.parametrize("pattern", ["[ab]", "a.c", "a+", "^a", "a$", "(a|b)", "a{2}", "\\w", "a\\*", "[!a]"])
def test_characters_of_regular_expressions_and_shells_stand_for_themselves(pattern: str) -> None:
    for name in ("a", "b", "aa", "abc", "aaa", "w"):
        assert not matches(pattern, name)
    if "*" not in pattern:
        assert matches(pattern, pattern)


def test_a_name_never_ends_at_a_line_break() -> None:
    assert not matches("mail", "mail\n")
    assert matches("m*l", "m\nl")


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=10))
def test_a_match_is_what_the_definition_says(pattern: str, name: str) -> None:
    parts = {"*": ".*", "?": "."}
    definition = "".join(parts.get(char, re.escape(char)) for char in pattern)
    assert matches(pattern, name) is bool(re.fullmatch(definition, name, re.DOTALL))


@given(st.text("ab*?", max_size=6), st.text("ab", max_size=8))
def test_a_pattern_that_matches_everything_matches_any_name(pattern: str, name: str) -> None:
    if matches_everything(pattern):
        assert matches(pattern, name)
    else:
        assert not matches(pattern, "") or not pattern.strip("*")


@pytest.mark.parametrize("pattern", ["", "a" * (MAX_PATTERN + 1)])
@pytest.mark.parametrize("field", ["queues", "types"])
def test_a_grant_refuses_an_invalid_pattern(field: str, pattern: str) -> None:
    fields: dict[str, Any] = {field: ("*", pattern)}
    with pytest.raises(ValueError, match="a pattern"):
        Grant(frozenset(), **fields)
