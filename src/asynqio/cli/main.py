"""The entry point: runs a command and turns what goes wrong into one clear line and an exit status.

0: done. 1: it failed. 2: the command line or the configuration is wrong, or it was refused: trying again cannot
help. 3: it took too long. 4: there is no such queue, task or whatever was named. 6: it was done in part.

Task processes import this module again when they start, so it imports nothing itself.
"""

from __future__ import annotations

import sys


def main() -> None:
    """What `asynqio` and `python -m asynqio` run. Ends by SystemExit."""
    arguments = sys.argv[1:]
    # Taken out here, so that it works before and after the command's name.
    debug = "--debug" in arguments
    arguments = _with_seconds([argument for argument in arguments if argument != "--debug"])
    try:
        from asynqio.cli.system.commands import commands
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "click"):
            raise
        sys.exit("asynqio: the command line needs typer and rich: pip install 'asynqio[cli]'")
    try:
        commands(arguments, prog_name="asynqio")
    except Exception as error:
        from asynqio import AsynqioError
        from asynqio.cli.output.terminal import Refused

        if debug or not isinstance(error, AsynqioError | Refused):
            raise
        sys.exit(_explain(error))


def _with_seconds(arguments: list[str]) -> list[str]:
    """`--watch` takes seconds or none; typer knows no such options."""
    every = "--watch=2"
    filled = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        bare = argument in ("--watch", "-w") and not following.replace(".", "", 1).isdecimal()
        filled.append(every if bare else argument)
    return filled


def _explain(error: Exception) -> int:
    """Say what is wrong, each problem on a line of its own; the exit status."""
    from asynqio import ConfigError, InvalidFilter, InvalidTask, NotFound
    from asynqio.cli.output.terminal import Refused, clean

    for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
        print(f"asynqio: {clean(problem)}", file=sys.stderr)
    match error:
        case ConfigError() | Refused() | InvalidFilter() | InvalidTask():
            return 2
        case NotFound():
            return 4
        case _:
            return 1


if __name__ == "__main__":
    main()
