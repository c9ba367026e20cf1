"""What commands say: figures and lists on standard output, for people or as JSON; questions, hints and progress
on standard error, so that what a script reads is never anything but data."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import msgspec

#: Columns where nobody looks: rich would cut tables to 80.
_ENDLESS = 10_000


class Refused(Exception):
    """What was asked for is not done, for a reason that the caller can change. Ends the command with status 2."""


def show(value: object, people: Callable[[], None], *, as_json: bool) -> None:
    """Print `value` as one line of JSON, or have `people` print it."""
    if as_json:
        print(json.dumps(msgspec.to_builtins(value, enc_hook=_plain)))
    else:
        people()


def _plain(value: object) -> object:
    raise TypeError(f"{value!r} has no form in JSON")


def table(titles: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Print rows under their titles; the columns named in `right` are numbers. On a terminal long cells are cut to
    its width, elsewhere nothing is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _ENDLESS, highlight=False)
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        drawn.add_column(title, justify="right" if title in right else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*(Text(clean(cell)) for cell in row))
    with console.capture() as printed:
        console.print(drawn)
    for line in printed.get().splitlines():
        print(line.rstrip())


def facts(pairs: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one pair a line."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{name:<{width}}  {clean(value)}".rstrip())


def clean(value: object) -> str:
    """As one line of text that does nothing to a terminal: control characters are shown escaped."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def hint(text: str) -> None:
    """Say something to the person in front, not to the script behind."""
    print(f"asynqio: {text}", file=sys.stderr)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone. Raises Refused: the answer is no, or nobody is there to give it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} Say --yes to do it")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise SystemExit(130) from None
    if answer.strip().lower() not in ("y", "yes"):
        raise Refused("nothing was done")


@contextlib.contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how far it is: the block calls what it gets with the number that is done. Nothing without a terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def run(work: Awaitable[Any]) -> Any:
    """Run the one coroutine of a command; Ctrl-C ends it quietly with the status of an interrupt (130)."""

    async def main() -> Any:
        return await work

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None


async def watching(seconds: float | None, draw: Callable[[], Awaitable[None]]) -> None:
    """`draw` once, or again every so many seconds on a cleared screen until Ctrl-C."""
    while True:
        if seconds is not None and sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="")
        await draw()
        sys.stdout.flush()
        if seconds is None:
            return
        await asyncio.sleep(seconds)
