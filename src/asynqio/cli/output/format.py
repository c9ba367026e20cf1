"""Formats numbers, times, durations and payloads for people."""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """A duration in its two largest units: `0s`, `0.3s`, `42s`, `5m10s`, `3h`, `2d4h`."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    first = next(number for number, (_, size) in enumerate(units) if whole >= size)
    parts = []
    for name, size in units[first : first + 2]:
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)


def relative(at: float, now: float) -> str:
    """`in 5m`, `3h ago`. Empty if `at` is 0 (unset)."""
    if not at:
        return ""
    return f"in {duration(at - now)}" if at > now else f"{duration(now - at)} ago"


def timestamp(at: float, now: float) -> str:
    """`2026-11-22 10:00:00 UTC (3h ago)`. Empty if `at` is 0 (unset)."""
    if not at:
        return ""
    try:
        text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        text = f"{at:.0f}"
    return f"{text} ({relative(at, now)})"


def bytes_text(data: bytes | None) -> str:
    """Stored bytes as text; a description if they are not UTF-8."""
    if data is None:
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"({len(data):,} bytes, not UTF-8; see --json)"


def count(number: int, noun: str) -> str:
    """`1 task`, `1,234 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def error_rate(failed: int, processed: int) -> str:
    """The share of failed attempts: `33.33%`. Empty without attempts."""
    return f"{failed / processed:.2%}" if processed else ""


def byte_size(number: int) -> str:
    """A number of bytes: `0 B`, `1.5 kB`, `12 MB`."""
    amount, units = float(number), iter(("B", "kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while amount >= 999.5 and (larger := next(units, "")):
        amount, unit = amount / 1_000, larger
    return f"{amount:.2g} {unit}" if amount < 9.95 and unit != "B" else f"{amount:.0f} {unit}"
