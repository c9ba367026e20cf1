"""Task types that are paused: what servers do with tasks that they take and must not run.

A queue hands out tasks by their order, whatever their type. So a server that gets one of a paused type puts it off
again, uncounted, as it does with types that it does not know. How long decides what a pause costs and how soon the
tasks run after it: a quarter of the time that it has lasted, within bounds. A pause of an hour makes every task go
round once in five minutes; after one of a minute they all run within 15 seconds.
"""

from __future__ import annotations

#: Seconds for which a task of a paused type is put off, at least and at most.
LEAST, MOST = 5.0, 300.0


def held_for(since: float, now: float) -> float:
    """For how many seconds a task is put off whose type is paused since then."""
    return min(max((now - since) / 4, LEAST), MOST)
