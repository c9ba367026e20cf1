"""Declares `asynqio demo`."""

from __future__ import annotations

from typing import Annotated

from typer import Exit, Option


def demo(
    seconds: Annotated[
        float | None, Option(min=0.5, metavar="N", help="Stop after N seconds (default: at Ctrl-C).")
    ] = None,
    broker: Annotated[str, Option(metavar="URL", help="The broker.")] = "memory://",
) -> None:
    """Run a worker on a stream of sample tasks, live in the terminal."""
    from asynqio.cli.demo.run import run

    raise Exit(run(broker, seconds))
