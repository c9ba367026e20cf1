"""Formats times, durations and texts for people. Times are epoch seconds and are shown in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

#: Longest quotation of an error or a log line, in characters.
LONGEST = 300

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """`4 min 10 s`, `2 d 3 h`, `0.25 s`: the two largest units; fractions only below ten seconds."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.3g} s" if seconds >= 0.001 else "0 s"
    whole = round(seconds)
    for at, (size, name) in enumerate(_UNITS[:-1]):
        if whole >= size:
            smaller, small_name = _UNITS[at + 1]
            rest = whole % size // smaller
            return f"{whole // size} {name} {rest} {small_name}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def moment(at: float, now: float) -> str:
    """`14:03:20 UTC`, with the date unless it is today."""
    then = _date(at)
    if then is None:
        return "an invalid time"
    today = _date(now)
    day = "" if today is not None and then.date() == today.date() else f"{then:%Y-%m-%d} "
    return f"{day}{then:%H:%M:%S} UTC"


def coming(at: float, now: float) -> str:
    """`in 4 min 10 s, at 14:03:20 UTC`; `now` for a time in the past."""
    return f"in {span(at - now)}, at {moment(at, now)}" if at > now else "now"


def since(at: float, now: float) -> str:
    """`for 4 min 10 s, since 14:03:20 UTC`."""
    return f"for {span(now - at)}, since {moment(at, now)}"


def ago(at: float, now: float) -> str:
    """`4 min 10 s ago, at 14:03:20 UTC`."""
    return f"{span(now - at)} ago, at {moment(at, now)}"


def first_line(text: str) -> str:
    """The first line of a text, shortened."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def sentence(text: str) -> str:
    """The first line of a text, with punctuation at its end."""
    line = first_line(text)
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def many(count: int, what: str) -> str:
    """`1 server`, `3 servers`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _date(at: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return None
