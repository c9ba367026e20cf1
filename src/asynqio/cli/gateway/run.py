"""Runs `asynqio gateway`."""

from __future__ import annotations

from collections.abc import Mapping

from asynqio import ConfigError, logs
from asynqio.cli.log_setup import log_to_stderr


def run(
    broker: str | None, settings: Mapping[str, object], *, log_level: str, log_format: logs.LogFormat
) -> int:
    """Serve until a signal ends the gateway. Returns the exit status. Raises ConfigError before anything starts."""
    try:
        from asynqio.gateway import load_settings, run_gateway
    except ModuleNotFoundError as missing:
        raise ConfigError(
            [f"the gateway needs the package {missing.name!r}: pip install 'asynqio[gateway]'"]
        ) from None
    log_to_stderr(log_level, log_format)
    return run_gateway(broker, load_settings(settings))
