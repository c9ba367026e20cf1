"""Declares `asynqio stats`, `doctor`, `config`, `metrics` and `version`."""

from __future__ import annotations

from typing import Annotated

from typer import Exit, Option

from asynqio.cli.options import (
    BrokerUrl,
    ConfigFile,
    Json,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
    Watch,
    command_group,
)

config = command_group("Check the configuration.")


def stats(broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """Show how many tasks are in which state, today's failures, servers and the store."""
    from asynqio.cli.system.stats import show_stats

    show_stats(broker, as_json=json, watch=watch)


def doctor(
    broker: BrokerUrl = None,
    fix: Annotated[bool, Option("--fix", help="Repair what can be repaired safely.")] = False,
    json: Json = False,
) -> None:
    """Find problems of the store, the queues and the servers, and say how to fix them.

    Exits with status 1 if errors remain.
    """
    from asynqio.cli.system.doctor import examine

    raise Exit(examine(broker, fix=fix, as_json=json))


@config.command("check")
def check(file: ConfigFile = None, json: Json = False) -> None:
    """Print all settings with their origins, or all errors."""
    from asynqio.cli.system.config import show_settings

    raise Exit(show_settings(file, as_json=json))


def metrics(
    broker: BrokerUrl = None,
    port: Annotated[
        int, Option(metavar="N", min=0, max=65_535, help="Port to listen on. 0: any free port.")
    ] = 9876,
    host: Annotated[str, Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    memory: Annotated[
        bool, Option("--memory/--no-memory", help="Estimate the memory of each queue, once a minute.")
    ] = True,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Serve metrics of all queues and servers to Prometheus until INT or TERM.

    Replaces the exporter of asynq in Go: same port and metric names, and further metrics.
    """
    from asynqio.cli.log_setup import log_to_stderr
    from asynqio.cli.system.metrics import serve

    log_to_stderr(log_level.value, log_format.value)
    raise Exit(serve(broker, port, host=host, memory=memory))


def version(json: Json = False) -> None:
    """Print the versions of asynqio, Python and the libraries in use."""
    from asynqio.cli.system.version import show_version

    show_version(as_json=json)
