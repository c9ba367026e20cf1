"""Logging of the long-running commands: `worker`, `cron serve` and `metrics`."""

from __future__ import annotations

import logging

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s[%(process)d]: %(message)s"


def log_to_stderr(level: str) -> None:
    """Log to standard error, unless the application has configured logging already."""
    logging.basicConfig(level=level.upper(), format=LOG_FORMAT)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
