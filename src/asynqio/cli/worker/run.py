"""Runs `asynqio worker`: a supervisor, or as its child one worker server."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asynqio import App, ConfigError, ServerConfig, load_config, logs
from asynqio.cli.default_broker import use_broker
from asynqio.cli.exit_status import FAILED
from asynqio.cli.find_app import find_app
from asynqio.cli.log_setup import log_to_stderr
from asynqio.cli.system.config import file_or_default
from asynqio.cli.worker.bounded_exit import EXIT_TIMEOUT, exit_within
from asynqio.cli.worker.supervisor_pipe import inherited_pipe, preceding_siblings, watch
from asynqio.cli.worker.task_checks import check_tasks

log = logging.getLogger("asynqio.worker")


@dataclass(frozen=True)
class WorkerOptions:
    """What to run."""

    target: str
    #: Modules to import after the App's, as `App.include` takes them.
    include: Sequence[str]
    #: A URL to use instead of the App's.
    broker: str | None
    #: Fields of ServerConfig set on the command line.
    settings: Mapping[str, Any]
    file: Path | None
    #: Whether tasks that this worker cannot run are an error.
    strict_tasks: bool
    log_level: str
    log_format: logs.LogFormat


def run(options: WorkerOptions, *, processes: int, reload: bool, supervised: bool) -> int:
    """Run until a signal ends it. Returns the exit status. Raises ConfigError before anything starts."""
    if not supervised and (processes > 1 or reload):
        raise ConfigError(["--no-supervisor runs one process: omit --processes and --reload"])
    config, _ = load_config(options.settings, file=file_or_default(options.file))
    pipe = inherited_pipe()
    if pipe is None and supervised:
        log_to_stderr(options.log_level, options.log_format)
        return _supervise(config, processes, reload)
    return _run_server(options, config, pipe)


def _run_server(options: WorkerOptions, config: ServerConfig, pipe: int | None) -> int:
    """Run one worker server in this process."""
    if config.metrics_port:  # each process has its own endpoint
        config = replace(config, metrics_port=config.metrics_port + preceding_siblings())
    app = find_app(options.target, options.include)
    use_broker(app, options.broker)
    log_to_stderr(options.log_level, options.log_format)
    check_tasks(app, config.queues, strict=options.strict_tasks)
    if pipe is not None:
        watch(pipe)
    _warn_of_memory(app)
    # Imported modules stay in memory. Excluding them from garbage collection gave 7 % more tasks/s on Redis.
    gc.collect()
    gc.freeze()
    asyncio.run(_serve(app, config))
    return 0


async def _serve(app: App, config: ServerConfig) -> None:
    status = FAILED
    try:
        await app.run_worker(config=config)
        status = 0
    finally:
        exit_within(EXIT_TIMEOUT, status)


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
