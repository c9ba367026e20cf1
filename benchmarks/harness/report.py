"""Formats results as Markdown tables, for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness.case import OURS
from benchmarks.harness.run_cases import Results


def markdown(facts: Mapping[str, str], results: Mapping[str, Results]) -> str:
    """The complete report."""
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
    """A Markdown table; the first line is its header."""
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


def write_into(document: Path, text: str, section: str = "results") -> None:
    """Replace a section of a document. Raises ValueError if the document has no such section."""
    before, after = around(document, section)
    document.write_text(f"{before}\n\n{text}\n\n{after}", "utf-8")


def around(document: Path, section: str = "results") -> tuple[str, str]:
    """The text before and after a section of a document. Raises ValueError if there is no such section."""
    opening, closing = f"<!-- {section} -->", f"<!-- end of {section} -->"
    old = document.read_text("utf-8")
    before, begin, rest = old.partition(opening)
    _, end, after = rest.partition(closing)
    if not begin or not end:
        raise ValueError(f"{document} has no section between the lines {opening!r} and {closing!r}")
    return before + begin, end + after
