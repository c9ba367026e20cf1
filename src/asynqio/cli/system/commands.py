"""The commands and their options. What a command does is in a module of its own, loaded when it is called:
`asynqio --help` has to be there at once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Context, Exit, Option, Typer

from asynqio.cli.lazy_groups import Nouns
from asynqio.cli.options import BrokerUrl, Json, Watch

# Without rich's markup: loading rich for a page of help takes longer than everything else together.
commands = Typer(
    cls=Nouns,
    help="asynqio: a distributed task queue.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config = Typer(help="Look at the configuration.", rich_markup_mode=None)
commands.add_typer(config, name="config")


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


ConfigFile = Annotated[
    Path | None,
    Option("--config", metavar="FILE", help="Configuration file; asynqio.toml if there is one."),
]


@commands.callback(invoke_without_command=True)
def everything(
    context: Context,
    version: Annotated[bool, Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if version:
        from asynqio.cli.system.version import show_version

        show_version(as_json=False)
        raise Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@commands.command()
def stats(broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """Show how many tasks there are, where, and how many failed today."""
    from asynqio.cli.server.show import show_stats

    show_stats(broker, as_json=json, watch=watch)


@commands.command()
def worker(
    target: Annotated[str, Argument(metavar="MODULE:APP", help="Where the App is, such as shop.tasks:app.")],
    broker: Annotated[
        str | None, Option(metavar="URL", help="Use this broker instead of the one of the App.")
    ] = None,
    processes: Annotated[
        int, Option("--processes", "-p", min=1, help="Worker servers, each a process of its own.")
    ] = 1,
    concurrency: Annotated[
        int | None, Option("--concurrency", "-c", help="Tasks at the same time, per worker server.")
    ] = None,
    queues: Annotated[
        str | None,
        Option(
            "--queues", "-q", metavar="NAMES", help="Queues and their weights, such as critical=6,default=3."
        ),
    ] = None,
    strict: Annotated[
        bool | None, Option("--strict", help="Empty the queue of the highest weight first, always.")
    ] = None,
    task_processes: Annotated[
        int | None,
        Option(help='Processes for tasks with run_in="process", per worker server; 0: one per CPU.'),
    ] = None,
    shutdown_timeout: Annotated[
        float | None, Option(metavar="SECONDS", help="How long running tasks may go on when it ends.")
    ] = None,
    lease: Annotated[
        float | None, Option(metavar="SECONDS", help="Without a sign of life, tasks are given to others.")
    ] = None,
    unknown_tasks: Annotated[
        str | None,
        Option(metavar="POLICY", help="Tasks without a handler here: defer, fail or archive."),
    ] = None,
    metrics_port: Annotated[
        int | None,
        Option(metavar="N", help="Serve Prometheus metrics there; the second process at N + 1, and so on."),
    ] = None,
    metrics_host: Annotated[
        str | None, Option(metavar="ADDRESS", help="On this address instead of 127.0.0.1.")
    ] = None,
    no_scheduler: Annotated[
        bool, Option("--no-scheduler", help="Leave the schedules of the App to others.")
    ] = False,
    config: ConfigFile = None,
    log_level: Annotated[Level, Option(case_sensitive=False, help="How much is logged.")] = Level.INFO,
    reload: Annotated[bool, Option("--reload", help="Start again whenever a .py file changes.")] = False,
) -> None:
    """Run the tasks of an App.

    Other settings come from the configuration file and from ASYNQIO_… variables: see `asynqio config check`.

    INT (Ctrl-C) and TERM end it when its tasks are done, a second INT at once; TSTP takes no new tasks.
    """
    from asynqio.cli.worker.actions import Order, run

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
    raise Exit(run(Order(target, broker, given, config, log_level.value), processes=processes, reload=reload))


@commands.command()
def metrics(
    broker: Annotated[
        str | None, Option(metavar="URL", help="The broker to look at; or set ASYNQIO_BROKER.")
    ] = None,
    port: Annotated[int, Option(metavar="N", min=0, max=65_535, help="Where; 0: any free port.")] = 9876,
    host: Annotated[str, Option(metavar="ADDRESS", help="On which address.")] = "127.0.0.1",
    memory: Annotated[
        bool, Option("--memory/--no-memory", help="Guess what each queue takes, once a minute.")
    ] = True,
    log_level: Annotated[Level, Option(case_sensitive=False, help="How much is logged.")] = Level.INFO,
) -> None:
    """Serve the figures of all queues and servers to Prometheus, until INT or TERM.

    It also stands in for the exporter of Go's asynq: same port, same metrics, and more.
    """
    from asynqio.cli.system.metrics import serve

    raise Exit(serve(broker, port, host=host, memory=memory, log_level=log_level.value))


@commands.command()
def version(json: Json = False) -> None:
    """Print the versions of asynqio and of what it stands on."""
    from asynqio.cli.system.version import show_version

    show_version(as_json=json)


@commands.command()
def explain(
    task: Annotated[str, Argument(metavar="TASK", help="The id of a task.")],
    queue: Annotated[
        str | None, Option("--queue", "-q", metavar="NAME", help="Its queue; else it is looked for in all.")
    ] = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Say what happened to a task, why it is where it is, and what happens next."""
    from asynqio.cli.task.explain import explain

    raise Exit(explain(broker, task, queue, as_json=json))


@commands.command()
def doctor(
    broker: BrokerUrl = None,
    fix: Annotated[bool, Option("--fix", help="Repair what can be repaired safely.")] = False,
    json: Json = False,
) -> None:
    """Look for what is wrong with the store, the queues and the servers, and say what to do about it.

    The status is 0 if nothing is wrong that needs you now, 1 if there are errors.
    """
    from asynqio.cli.system.doctor import examine

    raise Exit(examine(broker, fix=fix, as_json=json))


@config.command("check")
def check(file: ConfigFile = None, json: Json = False) -> None:
    """Print every setting of a worker, where it came from, and everything that is wrong."""
    from asynqio.cli.system.config import show_settings

    raise Exit(show_settings(file, as_json=json))


@commands.command()
def demo(
    seconds: Annotated[
        float | None, Option(min=0.5, metavar="N", help="Stop after so many seconds; else at Ctrl-C.")
    ] = None,
    broker: Annotated[str, Option(metavar="URL", help="Where the tasks are kept.")] = "memory://",
) -> None:
    """See it work: a worker and a stream of realistic tasks, live."""
    from asynqio.cli.demo.show import run

    raise Exit(run(broker, seconds))
