"""Logging of the long-running commands: `worker`, `cron serve` and `metrics`."""

from __future__ import annotations

import logging

from asynqio import logs


def log_to_stderr(level: str, format: logs.LogFormat) -> None:
    """Log to standard error, unless the application has configured logging itself."""
    if not logging.getLogger().handlers:
        logs.configure(format, level)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
