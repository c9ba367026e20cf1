"""Tables, and lists of names and values."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from asynqio.cli.output.terminal import clean

#: Columns of the output when it is not a terminal: rich would truncate tables at 80.
_UNLIMITED = 10_000


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print rows under their titles; `right` names the right-aligned columns. Long cells are truncated to the width
    of the terminal, and never when standard output is not a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _UNLIMITED, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def print_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Print one name and value per line."""
    width = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        print(f"{name:<{width}}  {clean(value)}".rstrip())
