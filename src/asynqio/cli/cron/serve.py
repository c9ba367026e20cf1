"""Runs a scheduler without a worker: `asynqio cron serve`."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio import ConfigError, logs
from asynqio.cli.default_broker import use_broker
from asynqio.cli.find_app import find_app
from asynqio.cli.log_setup import log_to_stderr


def serve(
    target: str,
    broker: str | None,
    include: Sequence[str],
    *,
    log_level: str,
    log_format: logs.LogFormat,
) -> None:
    """Fire the schedules of an App until a signal ends it. Raises ConfigError if the App has no schedules."""
    app = find_app(target, include)
    use_broker(app, broker)
    if not app.schedules:
        raise ConfigError([f"{target} has no schedules; declare one with @app.cron"])
    log_to_stderr(log_level, log_format)
    app.run_scheduler()
