"""The figures as a table: for people, and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.case import OURS
from benchmarks.rounds import Results


def markdown(facts: Mapping[str, str], results: Mapping[str, Results]) -> str:
    """Everything, as one piece of Markdown that is also readable as it is."""
    parts = [headline(facts)]
    for broker, rows in results.items():
        parts += [f"### {broker}", _table(rows)]
    return "\n\n".join(parts)


def headline(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" if name != "date" else value for name, value in facts.items())


def _table(rows: Results) -> str:
    peers = sorted({system for systems in rows.values() for system in systems if system != OURS})
    header = ["", OURS]
    for peer in peers:
        header += [peer, f"{OURS} / {peer}"]
    lines = [header]
    for row, systems in rows.items():
        line = [row, number(systems.get(OURS))]
        for peer in peers:
            line += [number(systems.get(peer)), ratio(systems.get(OURS), systems.get(peer))]
        lines.append(line)
    return lay_out(lines)


def lay_out(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first line is its head."""
    header = lines[0]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]
    return "\n".join(
        "| "
        + " | ".join(
            [line[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]]
        )
        + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(ours: float | None, theirs: float | None) -> str:
    return f"{ours / theirs:.2f}" if ours is not None and theirs else ""


def write_into(document: Path, text: str, what: str = "figures") -> None:
    """Replace the figures of a document. Raises ValueError when there is no place for them."""
    before, after = place_for(document, what)
    document.write_text(f"{before}\n\n{text}\n\n{after}", "utf-8")


def place_for(document: Path, what: str = "figures") -> tuple[str, str]:
    """What stands before and after the figures. Raises ValueError when there is no place for them."""
    opening, closing = f"<!-- {what} -->", f"<!-- end of {what} -->"
    old = document.read_text("utf-8")
    before, begin, rest = old.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise ValueError(f"{document} has no lines {opening!r} and {closing!r} to put the figures between")
    return before + begin, end + after
