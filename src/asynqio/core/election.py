"""Delays by which one of many servers acts on a signal that all of them receive.

The server that found work last acts at once. Each other one waits for a random time, and then checks whether there
still is work. The times are distributed exponentially, as for the suppression of feedback in multicast: most are
long and few are short, so whatever the number of servers, only a few check before the first of them has taken the
work. A server that still was too early doubles its times, as stations do after a collision on a shared line.
"""

from __future__ import annotations

import math
from random import Random

#: The number of servers for which the times are distributed.
_SERVERS = 1_000
#: How much longer the longest time becomes by collisions and by losses in a row, each, at most.
_LONGEST = 16.0
#: How much shorter it becomes when the server has won after waiting.
_SHORTER = 0.75
#: Seconds between two losses that still count as losses in a row.
_ROW = 0.1


class Election:
    """The part of one server in the elections for one kind of work. A new server has not found work yet.

    `longest`: the longest time in seconds that a server waits which has few competitors.
    """

    __slots__ = ("_collisions", "_longest", "_losses", "_lost_at")

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._losses = 1
        self._lost_at = -math.inf
        self._collisions = 1.0

    @property
    def leads(self) -> bool:
        """Whether this server found work last."""
        return self._losses == 0

    def won(self) -> None:
        """This server found work."""
        if self._losses:
            self._collisions = max(1.0, self._collisions * _SHORTER)
        self._losses = 0

    def lost(self, now: float) -> None:
        """Another server has taken the work. `now` is any steady time in seconds.

        Losses in a row double the times, which bounds the number of checks per second.
        """
        in_a_row = now - self._lost_at < _ROW
        self._losses = self._losses + 1 if in_a_row else 1
        self._lost_at = now

    def collided(self, now: float) -> None:
        """This server asked for the work, but another one was faster."""
        if self._losses:
            self._collisions = min(4 * self._collisions, _LONGEST)
        self.lost(now)

    def delay(self, random: Random) -> float:
        """Seconds to wait before the next check."""
        if not self._losses:
            return 0.0
        in_a_row = min(2.0 ** (min(self._losses, 16) - 1), _LONGEST)
        longest = self._longest * max(self._collisions, in_a_row)
        return max(0.0, longest * (1 + math.log(1 - random.random()) / math.log(_SERVERS)))
