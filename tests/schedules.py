"""What Go says of schedules and durations, and whether ours says the same."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec

from asynqio.core.durations import format_duration, parse_duration
from asynqio.core.schedules.cron import parse_schedule
from asynqio.core.schedules.next_time import upcoming
from asynqio.errors import InvalidSchedule

DATA = Path(__file__).parent / "unit" / "data"
CRON_TABLE, DURATION_TABLE = DATA / "cron.json", DATA / "durations.json"


class Firing(msgspec.Struct, frozen=True):
    """A question: when does `spec` fire, `count` times after `after`, if the scheduler's location is `zone`?"""

    spec: str
    zone: str
    #: Epoch seconds.
    after: float
    count: int


class Fired(msgspec.Struct, frozen=True, omit_defaults=True):
    """Go's answer."""

    #: Fewer than asked for when it fires no more.
    times: list[int] = []
    #: Why it refuses the spec; "panic: …" when it crashes on it.
    error: str = ""
    #: The search has no end.
    hangs: bool = False


class Row(msgspec.Struct, frozen=True):
    """A line of the table."""

    asked: Firing
    go: Fired

    @property
    def is_lost(self) -> bool:
        """Whether Go finds no end, or no time that is later than the one before."""
        times = [self.asked.after, *self.go.times]
        return self.go.hangs or any(a >= b for a, b in pairwise(times))


class Printed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What Go reads in a text as a duration, and how it writes that."""

    nanoseconds: int = 0
    text: str = ""
    error: str = ""


def ours(asked: Firing) -> list[int] | None:
    """Our answer; None when we refuse the spec."""
    try:
        schedule = parse_schedule(asked.spec, asked.zone)
    except InvalidSchedule:
        return None
    return [int(at) for at in upcoming(schedule, asked.after, asked.count)]


def difference(row: Row) -> str:
    """What is wrong with our answer; "" when nothing is. Where Go is lost, ours need only go on."""
    mine = ours(row.asked)
    if row.is_lost:
        times = [row.asked.after, *(mine or [])]
        good = len(times) == 1 + row.asked.count and all(a < b for a, b in pairwise(times))
    else:
        good = mine == (None if row.go.error else row.go.times)
    return "" if good else f"{row.asked}: Go says {row.go}, ours {mine}"


def duration_difference(text: str, go: Printed) -> str:
    """What is wrong with our reading and writing of a duration."""
    try:
        read: int | None = parse_duration(text)
    except ValueError:
        read = None
    written = "" if read is None else format_duration(read)
    good = read is None if go.error else (read, written) == (go.nanoseconds, go.text)
    return "" if good else f"{text!r}: Go says {go}, ours {read} {written!r}"


def cron_table() -> list[Row]:
    """The table that `python -m tests.interop.support.crontab` has written."""
    return msgspec.json.decode(CRON_TABLE.read_bytes(), type=list[Row])


def duration_table() -> dict[str, Printed]:
    """The same for durations, by the text that was read."""
    return msgspec.json.decode(DURATION_TABLE.read_bytes(), type=dict[str, Printed])
