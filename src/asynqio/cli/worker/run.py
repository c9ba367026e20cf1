"""Runs `asynqio worker`: one worker server in this process, or a supervisor of several."""

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
from asynqio.cli.find_app import find_app
from asynqio.cli.log_setup import log_to_stderr
from asynqio.cli.system.config import file_or_default
from asynqio.cli.worker.supervisor_pipe import inherited_pipe, preceding_siblings, watch

log = logging.getLogger("asynqio.worker")


@dataclass(frozen=True)
class WorkerOptions:
    """What to run."""

    target: str
    #: A URL to use instead of the App's.
    broker: str | None
    #: Fields of ServerConfig set on the command line.
    settings: Mapping[str, Any]
    file: Path | None
    log_level: str


def run(options: WorkerOptions, *, processes: int, reload: bool) -> int:
    """Run until a signal ends it. Returns the exit status. Raises ConfigError before anything starts."""
    config, _ = load_config(options.settings, file=file_or_default(options.file))
    pipe = inherited_pipe()
    if pipe is None and (processes > 1 or reload):
        log_to_stderr(options.log_level)
        return _supervise(config, processes, reload)
    if config.metrics_port:  # each process has its own endpoint
        config = replace(config, metrics_port=config.metrics_port + preceding_siblings())
    app = find_app(options.target)
    if options.broker is not None:
        app.use_broker(options.broker)
    log_to_stderr(options.log_level)
    if pipe is not None:
        watch(pipe)
    _warn_of_memory(app)
    # Imported modules stay in memory. Excluding them from garbage collection gave 7 % more tasks/s on Redis.
    gc.collect()
    gc.freeze()
    asyncio.run(app.run_worker(config=config))
    return 0


def _supervise(config: ServerConfig, processes: int, reload: bool) -> int:
    from asynqio.cli.worker.supervisor import Supervisor

    # The children get the same command line; the inherited pipe makes them children.
    # -P: files in the current directory must not shadow the standard library before the App is loaded.
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
            "%s keeps tasks in this process only: other processes cannot enqueue, and a restart loses all tasks "
            "(--broker sqlite:///tasks.db keeps them)",
            app.broker.url,
            extra={"event": "broker_not_durable", "broker": app.broker.url},
        )
