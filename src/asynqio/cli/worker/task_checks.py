"""Warns about tasks that a worker cannot run: `asynqio worker --strict-tasks` makes these warnings errors."""

from __future__ import annotations

import logging
from collections.abc import Collection

from asynqio import App, ConfigError

log = logging.getLogger("asynqio.worker")


def check_tasks(app: App, queues: Collection[str], *, strict: bool) -> None:
    """Log a warning if the App has no handler, or if its tasks go to queues that are not in `queues`. Raises
    ConfigError instead if `strict`."""
    findings = app.check_tasks(queues)
    if strict and findings:
        raise ConfigError([f"{finding.sentence}; {finding.advice}" for finding in findings])
    for finding in findings:
        text = f"{finding.sentence}; {finding.advice}"
        if finding.queue:
            log.warning(text, extra={"event": "queue_not_served", "queue": finding.queue})
        else:
            log.warning(text, extra={"event": "handlers_missing"})
