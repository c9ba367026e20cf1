"""Turns the error of a command into one line per problem and an exit status."""

from __future__ import annotations

import sys

from asynqio import ConfigError, InvalidFilter, InvalidTask, NotFound
from asynqio.cli.exit_status import FAILED, NOT_FOUND, REFUSED
from asynqio.cli.output.terminal import Refused, clean


def report_error(error: Exception) -> int:
    """Print one line per problem; return the exit status."""
    for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
        print(f"asynqio: {clean(problem)}", file=sys.stderr)
    match error:
        case ConfigError() | Refused() | InvalidFilter() | InvalidTask():
            return REFUSED
        case NotFound():
            return NOT_FOUND
        case _:
            return FAILED
