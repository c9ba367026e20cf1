"""Talking to the person at the terminal: hints, questions, progress. All of it goes to standard error, so that
standard output holds nothing but data."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from asynqio.cli.exit_status import INTERRUPTED


class Refused(Exception):
    """The command refuses to act, for a reason that the caller can change. Ends the command with status 2."""


def clean(value: object) -> str:
    """`value` as one line of text that cannot control a terminal: control characters are escaped."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def hint(text: str) -> None:
    """Print a message to standard error."""
    print(f"asynqio: {text}", file=sys.stderr)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before a destructive action. Raises Refused if the answer is no or standard input is not a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} Confirm with --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    if answer.strip().lower() not in ("y", "yes"):
        raise Refused("aborted; nothing was changed")


@contextlib.contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar. The block calls the yielded function with the number of finished items. Prints nothing
    if standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
