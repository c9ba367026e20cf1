"""The root command, and the table that says where each command is declared."""

from __future__ import annotations

from typing import Annotated

from typer import Context, Exit, Option, Typer

from asynqio.cli.lazy_groups import LazyGroup, Target

#: In the order in which `asynqio --help` lists them.
COMMANDS = {
    "worker": Target("asynqio.cli.worker.commands:worker", "Run the tasks of an App."),
    "gateway": Target(
        "asynqio.cli.gateway.commands:gateway", "Serve tasks to any language, over WebSocket and HTTP."
    ),
    "queue": Target("asynqio.cli.queue.commands:queues", "List, inspect, pause, drain and remove queues."),
    "task": Target(
        "asynqio.cli.task.commands:tasks", "Find, enqueue, run, cancel, archive and delete tasks."
    ),
    "group": Target("asynqio.cli.group.commands:groups", "List groups of tasks waiting to be aggregated."),
    "cron": Target("asynqio.cli.cron.commands:cron", "List, run, pause and serve schedules."),
    "server": Target("asynqio.cli.server.commands:servers", "List worker servers and what they run."),
    "stats": Target("asynqio.cli.system.commands:stats", "Show task counts by state, and today's failures."),
    "explain": Target(
        "asynqio.cli.task.commands:explain", "Explain what happened to a task and what happens next."
    ),
    "doctor": Target("asynqio.cli.system.commands:doctor", "Find problems, and say how to fix them."),
    "config": Target("asynqio.cli.system.commands:config", "Check the configuration."),
    "metrics": Target("asynqio.cli.system.commands:metrics", "Serve metrics to Prometheus."),
    "demo": Target("asynqio.cli.demo.commands:demo", "Run a worker on a live stream of sample tasks."),
    "version": Target("asynqio.cli.system.commands:version", "Print version information."),
}


class RootGroup(LazyGroup):
    """All commands."""

    targets = COMMANDS


# rich_markup_mode=None: loading rich to print help takes longer than everything else together.
commands = Typer(
    cls=RootGroup,
    help="asynqio: a distributed task queue.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@commands.callback(invoke_without_command=True)
def root(
    context: Context,
    version: Annotated[bool, Option("--version", help="Print version information and exit.")] = False,
    debug: Annotated[bool, Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if version:
        from asynqio.cli.system.version import show_version

        show_version(as_json=False)
        raise Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
