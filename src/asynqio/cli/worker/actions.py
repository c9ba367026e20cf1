"""`asynqio worker`: one worker server in this process, or a supervisor with several of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asynqio import App, ServerConfig, load_config
from asynqio.cli.system.config import file_or_default
from asynqio.cli.worker.lifeline import inherited, siblings_before, watch
from asynqio.cli.worker.target import find_app

log = logging.getLogger("asynqio.worker")

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s[%(process)d]: %(message)s"


@dataclass(frozen=True)
class Order:
    """What to run, and how."""

    target: str
    #: A URL to use instead of the App's.
    broker: str | None
    #: Fields of ServerConfig given on the command line.
    settings: Mapping[str, Any]
    file: Path | None
    log_level: str


def run(order: Order, *, processes: int, reload: bool) -> int:
    """Until a signal ends it; the exit status. Raises ConfigError before anything is started."""
    config, _ = load_config(order.settings, file=file_or_default(order.file))
    lifeline = inherited()
    if lifeline is None and (processes > 1 or reload):
        log_to_stderr(order.log_level)
        return _supervise(config, processes, reload)
    if config.metrics_port:  # each process has an endpoint of its own, side by side
        config = replace(config, metrics_port=config.metrics_port + siblings_before())
    app = find_app(order.target)
    if order.broker is not None:
        app.use_broker(order.broker)
    log_to_stderr(order.log_level)
    if lifeline is not None:
        watch(lifeline)
    _warn_of_memory(app)
    # What has been imported stays. Not to look through it again and again gave 7 % more tasks/s on Redis.
    gc.collect()
    gc.freeze()
    asyncio.run(app.run_worker(config=config))
    return 0


def log_to_stderr(level: str) -> None:
    """Unless the application has set up logging in its own way already."""
    logging.basicConfig(level=level.upper(), format=LOG_FORMAT)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def _supervise(config: ServerConfig, processes: int, reload: bool) -> int:
    from asynqio.cli.worker.supervisor import Supervisor

    # The children are given the very same command line: their lifeline tells them that they are children.
    # -P: what lies in the current directory must not hide the standard library before the App is loaded.
    command = [sys.executable, "-P", "-m", "asynqio", *sys.argv[1:]]
    supervisor = Supervisor(command, processes, shutdown_timeout=config.shutdown_timeout, reloading=reload)
    changes = None
    if reload:
        from asynqio.cli.worker.reload import python_changes

        changes = python_changes(Path.cwd())
    return asyncio.run(supervisor.run(changes))


def _warn_of_memory(app: App) -> None:
    if app.broker.url.startswith("memory:"):
        log.warning(
            "%s lives in this process only: nobody else can give it tasks, and nothing survives its end "
            "(--broker sqlite:///tasks.db keeps them)",
            app.broker.url,
        )
