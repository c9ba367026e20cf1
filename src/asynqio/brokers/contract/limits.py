"""What stores keep, how much of it, and for how long; and the options of a URL that change it."""

from __future__ import annotations

#: Archived tasks kept per queue, and for how many seconds (Go: 10,000 and 90 days).
ARCHIVE_LIMIT = 10_000
ARCHIVE_AGE = 90 * 86_400.0
#: Tasks of each state that are measured to guess what a queue takes (as Go does).
SAMPLE = 20
#: Seconds that daily figures are kept.
STATS_AGE = 90 * 86_400.0
#: Events kept per schedule (Go: 1,000), and for how many seconds after the last of them.
FIRES_KEPT = 1_000
FIRES_AGE = 90 * 86_400.0


def archive_limit(value: str) -> int:
    """The option `archive_limit` of a URL. Raises ValueError with what it takes."""
    if not value.isdecimal() or not int(value):
        raise ValueError("a whole number of tasks from 1 up")
    return int(value)


def archive_age(value: str) -> float:
    """The option `archive_age` of a URL. Raises ValueError with what it takes."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < float("inf"):
        raise ValueError("a number of seconds from 1 up")
    return seconds
