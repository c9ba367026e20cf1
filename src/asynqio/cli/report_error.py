"""Turns the error of a command into one line per problem and an exit status."""

from __future__ import annotations

import sys

from asynqio import AsynqioError, BrokerUnavailable, ConfigError, InvalidFilter, InvalidTask, NotFound
from asynqio.cli.default_broker import is_used
from asynqio.cli.exit_status import FAILED, NOT_FOUND, REFUSED
from asynqio.cli.output.streams import output_failed
from asynqio.cli.output.terminal import Refused, clean


def report_error(error: Exception) -> int | None:
    """Print one line per problem; return the exit status. None: it is an error of the program."""
    match error:
        case OSError(filename=None):
            return output_failed(error)
        case UnicodeEncodeError():
            problems = [f"{error.object!r} is not valid Unicode"]
        case ConfigError():
            problems = list(error.problems)
        case AsynqioError() | Refused():
            problems = [str(error)]
        case _:
            return None
    if isinstance(error, BrokerUnavailable) and is_used():
        problems.append(
            "no broker was given: start a gateway with `asynqio gateway`, or give a URL with --broker "
            "or ASYNQIO_BROKER"
        )
    for problem in problems:
        print(f"asynqio: {clean(problem)}", file=sys.stderr)
    match error:
        case ConfigError() | Refused() | InvalidFilter() | InvalidTask() | UnicodeEncodeError():
            return REFUSED
        case NotFound():
            return NOT_FOUND
        case _:
            return FAILED
