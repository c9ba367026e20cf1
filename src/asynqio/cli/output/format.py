"""Figures, times and payloads as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def span(seconds: float) -> str:
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
    """`in 5m`, `3h ago`; nothing for a time that there is not."""
    if not at:
        return ""
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"


def moment(at: float, now: float) -> str:
    """`2026-11-22 10:00:00 UTC (3h ago)`; nothing for a time that there is not."""
    if not at:
        return ""
    try:
        text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        text = f"{at:.0f}"
    return f"{text} ({relative(at, now)})"


def text_of(data: bytes | None) -> str:
    """Stored bytes as one sees them."""
    if data is None:
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"({len(data):,} bytes, not text: --json shows them in base64)"


def count(number: int, noun: str) -> str:
    """`1 task`, `1,234 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rate(failed: int, processed: int) -> str:
    """Failures per attempt."""
    return f"{failed / processed:.2%}" if processed else ""


def size(number: int) -> str:
    """Bytes: `0 B`, `1.5 kB`, `12 MB`."""
    amount, units = float(number), iter(("B", "kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while amount >= 999.5 and (larger := next(units, "")):
        amount, unit = amount / 1_000, larger
    return f"{amount:.2g} {unit}" if amount < 9.95 and unit != "B" else f"{amount:.0f} {unit}"
