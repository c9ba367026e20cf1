"""Declares `asynqio worker`."""

from __future__ import annotations

from typing import Annotated

from typer import Exit, Option

from asynqio.cli.options import (
    AppBrokerUrl,
    AppTarget,
    ConfigFile,
    Include,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
)


def worker(
    target: AppTarget,
    include: Include = None,
    broker: AppBrokerUrl = None,
    processes: Annotated[
        int,
        Option(
            "--processes", "-p", metavar="N", min=1, help="Number of worker servers, each in its own process."
        ),
    ] = 1,
    concurrency: Annotated[
        int | None,
        Option("--concurrency", "-c", metavar="N", help="Maximum number of running tasks per worker server."),
    ] = None,
    queues: Annotated[
        str | None,
        Option(
            "--queues", "-q", metavar="NAMES", help="Queues and their weights, such as critical=6,default=3."
        ),
    ] = None,
    strict: Annotated[
        bool | None, Option("--strict", help="Always empty the queue with the highest weight first.")
    ] = None,
    task_processes: Annotated[
        int | None,
        Option(
            metavar="N", help='Processes for tasks with run_in="process", per worker server. 0: one per CPU.'
        ),
    ] = None,
    shutdown_timeout: Annotated[
        float | None, Option(metavar="SECONDS", help="Time for running tasks to finish on shutdown.")
    ] = None,
    lease: Annotated[
        float | None,
        Option(metavar="SECONDS", help="Time after which tasks of an unresponsive worker run elsewhere."),
    ] = None,
    unknown_tasks: Annotated[
        str | None,
        Option(metavar="POLICY", help="What to do with tasks without a handler: defer, fail or archive."),
    ] = None,
    strict_tasks: Annotated[
        bool,
        Option(
            "--strict-tasks",
            help="Exit with status 2 if the App has no handler, or tasks in queues that this worker does not serve "
            "(default: log a warning).",
        ),
    ] = False,
    metrics_port: Annotated[
        int | None,
        Option(
            metavar="N", help="Serve Prometheus metrics on port N; the second process on N + 1, and so on."
        ),
    ] = None,
    metrics_host: Annotated[
        str | None, Option(metavar="ADDRESS", help="Address of the metrics server (default 127.0.0.1).")
    ] = None,
    no_scheduler: Annotated[
        bool, Option("--no-scheduler", help="Do not fire the schedules of the App.")
    ] = False,
    config: ConfigFile = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.TEXT,
    reload: Annotated[bool, Option("--reload", help="Restart when a .py file changes.")] = False,
    no_supervisor: Annotated[
        bool,
        Option("--no-supervisor", help="Run in this process: no restart after a crash, but debuggers work."),
    ] = False,
) -> None:
    """Run the tasks of an App.

    A supervisor restarts worker processes that die.

    Further settings come from the configuration file and from ASYNQIO_… variables: see `asynqio config check`.

    INT (Ctrl-C) and TERM stop the worker after its running tasks end; a second INT stops it at once. TSTP stops
    fetching tasks.
    """
    from asynqio.cli.worker.run import WorkerOptions, run

    settings = {
        "concurrency": concurrency,
        "queues": queues,
        "strict_priority": strict,
        "processes": task_processes,
        "shutdown_timeout": shutdown_timeout,
        "lease": lease,
        "unknown_tasks": unknown_tasks,
        "metrics_port": metrics_port,
        "metrics_host": metrics_host,
        "scheduler": False if no_scheduler else None,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    options = WorkerOptions(
        target=target,
        include=tuple(include or ()),
        broker=broker,
        settings=given,
        file=config,
        strict_tasks=strict_tasks,
        log_level=log_level.value,
        log_format=log_format.value,
    )
    raise Exit(run(options, processes=processes, reload=reload, supervised=not no_supervisor))
