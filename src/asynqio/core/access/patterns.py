"""Patterns of queue names and task types: anchored globs, never regular expressions."""

from __future__ import annotations

#: Most characters of a pattern.
MAX_PATTERN = 256


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name matches the pattern: `*` stands for any characters, `?` for one, the others for
    themselves. Takes at most `len(pattern) * len(name)` steps."""
    at = start = 0  # of the pattern, of the name
    star = -1  # the last star, which can take in more characters
    taken = 0  # the first character of the name behind those that the star has taken
    while start < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, taken = at, start
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[start]):
            at += 1
            start += 1
        elif star >= 0:
            taken += 1
            at, start = star + 1, taken
        else:
            return False
    return not pattern[at:].strip("*")


def matches_everything(pattern: str) -> bool:
    """Whether the pattern consists of stars only."""
    return bool(pattern) and not pattern.strip("*")


def pattern_problem(pattern: str) -> str:
    """Why this is no valid pattern; empty if it is one."""
    if not pattern:
        return "a pattern must not be empty: write * for every name"
    if len(pattern) > MAX_PATTERN:
        return f"a pattern has {len(pattern)} characters, at most {MAX_PATTERN} are allowed"
    return ""
