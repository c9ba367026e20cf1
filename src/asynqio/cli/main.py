"""The entry point of `asynqio`: runs a command and turns errors into one line each and an exit status.

Task processes import this module again when they start, so it imports nothing heavy at the top.
"""

from __future__ import annotations

import os
import sys
import traceback


def main() -> None:
    """Run `asynqio` or `python -m asynqio`. Always ends with SystemExit."""
    if os.getpid() == 1:
        from asynqio.cli.init_process import run_as_init

        run_as_init()
    from asynqio.cli.output.streams import exit_with, prepare_streams

    prepare_streams()
    arguments = sys.argv[1:]
    # Handled here so that --debug works both before and after the command name.
    debug = "--debug" in arguments
    arguments = _fill_in_watch([argument for argument in arguments if argument != "--debug"])
    try:
        from asynqio.cli.commands import commands
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "click"):
            raise
        sys.exit("asynqio: the command line needs typer and rich: pip install 'asynqio[cli]'")
    try:
        commands(arguments, prog_name="asynqio")
    except SystemExit as end:
        exit_with(end.code)
    except Exception as error:
        from asynqio.cli.report_error import report_error

        status = report_error(error)
        if status is None:
            raise
        if debug:
            traceback.print_exc()
        exit_with(status)


def _fill_in_watch(arguments: list[str]) -> list[str]:
    """Add the default interval to a bare `--watch`; Typer has no options with an optional value."""
    filled = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        bare = argument in ("--watch", "-w") and not following.replace(".", "", 1).isdecimal()
        filled.append("--watch=2" if bare else argument)
    return filled


if __name__ == "__main__":
    main()
