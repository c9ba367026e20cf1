"""How long a server defers a task whose type is paused.

A queue hands out tasks in order, whatever their type, so a server that dequeues a task of a paused type defers it,
uncounted, as it does with an unknown type. The delay is a quarter of the time for which the type has been paused,
within bounds: a longer delay costs less during the pause, a shorter one resumes sooner. With a pause of one hour a
task cycles once in five minutes; after a pause of one minute all tasks run within 15 seconds.
"""

from __future__ import annotations

#: Shortest and longest delay, in seconds.
MIN_DELAY, MAX_DELAY = 5.0, 300.0


def defer_seconds(paused_since: float, now: float) -> float:
    """The delay in seconds for a task whose type has been paused since `paused_since` (epoch seconds)."""
    return min(max((now - paused_since) / 4, MIN_DELAY), MAX_DELAY)
