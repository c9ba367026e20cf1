"""Polls for a reply for a moment before it sleeps until the reply arrives, if replies come sooner that way.

A server nearby replies within some ten microseconds. While the processors of a virtual machine are idle, to sleep and
to wake up takes 50 to 100 µs, on both sides. Measured on one with two processors, Redis on the same machine: a PING
takes 38 instead of 121 µs, a call of `enqueue` 150 instead of 250 µs, both with less processor time; with one slot or
ten, a worker processes 1.2 times as many tasks. But while the processors are busy, they need not wake up, and polling
takes them from the server: then a call of `enqueue` takes 220 instead of 145 µs. Only the times tell which is better.
If they are about equal, polling still saves the processor time of falling asleep: to require a gain of 10 % cost 5 %
of the tasks/s of a worker with 10 or 50 slots. Times beyond `LONGEST` count as equal, so a server far away is never
polled.
"""

from __future__ import annotations

from typing import Final

#: The longest time in seconds to poll.
LONGEST: Final = 0.0003
#: The weight of the last reply in the average of the present way, and in that of the other, which is seldom tried.
WEIGHT, TRIAL_WEIGHT = 1 / 16, 1 / 4
#: The other way is tried once in so many replies: at first, and when it was worse each time.
FIRST_TRIAL, LAST_TRIAL = 16, 256


class BusyPoll:
    """Decides for one connection whether to poll for the next reply. Compares the times of both ways."""

    __slots__ = ("_averages", "_every", "_left", "polls")

    def __init__(self) -> None:
        #: Whether polling is the better way.
        self.polls = False
        #: Average seconds until a reply: asleep, polling. 0: not known.
        self._averages = [0.0, 0.0]
        #: Replies from one trial of the other way to the next, and until the next.
        self._every = self._left = FIRST_TRIAL

    def begins(self) -> bool:
        """Whether to poll for the reply to what was just sent. Report its time to `replied`."""
        self._left -= 1
        if self._left > 0:
            return self.polls
        self._every = min(2 * self._every, LAST_TRIAL)
        self._left = self._every
        return not self.polls

    def replied(self, polled: bool, seconds: float) -> None:
        """A reply arrived after this time."""
        seconds = min(seconds, LONGEST)  # beyond that, something else was in the way
        averages = self._averages
        weight = WEIGHT if polled is self.polls else TRIAL_WEIGHT
        average = averages[polled] or seconds
        averages[polled] = average + weight * (seconds - average)
        asleep, polling = averages
        if (0.0 < polling < asleep) is not self.polls:
            self.polls = not self.polls
            self._every = self._left = FIRST_TRIAL
