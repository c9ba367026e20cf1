"""Limits that every broker keeps, and the URL options that change them."""

from __future__ import annotations

#: Seconds of a day; daily stats count from midnight UTC.
DAY = 86_400
#: Archived tasks kept per queue, and for how many seconds (Go: 10,000 and 90 days).
ARCHIVE_LIMIT = 10_000
ARCHIVE_AGE = 90 * 86_400.0
#: Tasks of each state measured to estimate the memory of a queue (as in Go).
SAMPLE = 20
#: Seconds for which daily stats are kept.
STATS_AGE = 90 * 86_400.0
#: Events kept per schedule (Go: 1,000), and for how many seconds after the newest one.
FIRES_KEPT = 1_000
FIRES_AGE = 90 * 86_400.0


def archive_limit(value: str) -> int:
    """Parse the URL option `archive_limit`. Raises ValueError with the accepted values."""
    if not value.isdecimal() or not int(value):
        raise ValueError("a whole number of tasks from 1 up")
    return int(value)


def archive_age(value: str) -> float:
    """Parse the URL option `archive_age`, in seconds. Raises ValueError with the accepted values."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < float("inf"):
        raise ValueError("a number of seconds from 1 up")
    return seconds
