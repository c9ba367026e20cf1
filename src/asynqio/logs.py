"""Logging: formats for the lines of a worker, and the current task on every record. See docs/reference/logging.md.

    from asynqio import logs

    logs.configure("json")

Each record of asynqio has an `event` and fields (`extra`), so any logging setup of the application works as well.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from asynqio.errors import ConfigError
from asynqio.runtime.attempts.log_context import TaskContextFilter
from asynqio.runtime.log_format import LOG_FORMATS, LogFormat, LogSettings, apply

__all__ = ["LOG_FORMATS", "LogFormat", "TaskContextFilter", "configure"]


def configure(
    format: LogFormat = "text", level: int | str = logging.INFO, stream: TextIO | None = None
) -> None:
    """Write the records of all loggers, with the task they belong to, in one of three formats.

    `"text"` is one line per record, `"json"` one object per line, `"pretty"` coloured if the stream is a terminal
    (unless the environment variable `NO_COLOR` is set). `level` is that of the root logger, a number or a name.
    `stream` is standard error by default. The lease keeper uses the same format and level; it writes to standard
    error. The records of task processes are written by their server.

    A second call replaces the first. Handlers that the application added stay. Raises ConfigError.
    """
    problems = []
    if format not in LOG_FORMATS:
        problems.append(f"format={format!r} must be one of {', '.join(LOG_FORMATS)}")
    number = logging.getLevelNamesMapping().get(level.upper()) if isinstance(level, str) else level
    if isinstance(number, bool) or not isinstance(number, int):
        problems.append(f"level={level!r} must be a level such as logging.INFO or 'info'")
    if problems or number is None:
        raise ConfigError(problems)
    settings = LogSettings(format, number, "stdout" if stream is sys.stdout else "stderr")
    apply(settings, stream)
