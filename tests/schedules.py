"""Compares schedules and durations with Go."""

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
    """A query: the next `count` ticks of `spec` after `after` in `zone`."""

    spec: str
    zone: str
    #: Epoch seconds.
    after: float
    count: int


class Fired(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of Go."""

    #: Fewer than requested if there are no more ticks.
    times: list[int] = []
    #: The error for an invalid spec; "panic: …" if Go crashes.
    error: str = ""
    #: The search does not end.
    hangs: bool = False


class Row(msgspec.Struct, frozen=True):
    """One row of the table."""

    asked: Firing
    go: Fired

    @property
    def is_lost(self) -> bool:
        """Whether Go's search does not end, or its ticks do not increase."""
        times = [self.asked.after, *self.go.times]
        return self.go.hangs or any(a >= b for a, b in pairwise(times))


class Printed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A duration as Go parses and formats it."""

    nanoseconds: int = 0
    text: str = ""
    error: str = ""


def ours(asked: Firing) -> list[int] | None:
    """The answer of asynqio; None for an invalid spec."""
    try:
        schedule = parse_schedule(asked.spec, asked.zone)
    except InvalidSchedule:
        return None
    return [int(at) for at in upcoming(schedule, asked.after, asked.count)]


def difference(row: Row) -> str:
    """The difference between asynqio and Go, or "". Where Go is lost, ticks only need to increase."""
    mine = ours(row.asked)
    if row.is_lost:
        times = [row.asked.after, *(mine or [])]
        good = len(times) == 1 + row.asked.count and all(a < b for a, b in pairwise(times))
    else:
        good = mine == (None if row.go.error else row.go.times)
    return "" if good else f"{row.asked}: Go says {row.go}, ours {mine}"


def duration_difference(text: str, go: Printed) -> str:
    """The difference between asynqio and Go for a duration, or ""."""
    try:
        read: int | None = parse_duration(text)
    except ValueError:
        read = None
    written = "" if read is None else format_duration(read)
    good = read is None if go.error else (read, written) == (go.nanoseconds, go.text)
    return "" if good else f"{text!r}: Go says {go}, ours {read} {written!r}"


def cron_table() -> list[Row]:
    """The table written by `python -m tests.interop.support.crontab`."""
    return msgspec.json.decode(CRON_TABLE.read_bytes(), type=list[Row])


def duration_table() -> dict[str, Printed]:
    """The table of durations by text."""
    return msgspec.json.decode(DURATION_TABLE.read_bytes(), type=dict[str, Printed])
