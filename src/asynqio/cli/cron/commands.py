"""Declares `asynqio cron`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from asynqio.cli.options import (
    AppBrokerUrl,
    AppTarget,
    BrokerUrl,
    Include,
    Json,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
    command_group,
)

cron = command_group("List, run, pause and serve schedules.")

Id = Annotated[str, Argument(metavar="ID", help="A schedule id, as printed by `asynqio cron ls`.")]


@cron.command("list", hidden=True)
@cron.command("ls")
def ls(broker: BrokerUrl = None, json: Json = False) -> None:
    """List the schedules of all running schedulers (alias: list)."""
    from asynqio.cli.cron.show import list_schedules

    list_schedules(broker, as_json=json)


@cron.command()
def history(
    id: Id,
    broker: BrokerUrl = None,
    size: Annotated[int, Option("--size", metavar="N", min=1, help="Maximum number of tasks.")] = 30,
    offset: Annotated[
        int, Option("--offset", metavar="N", min=0, help="Number of newest tasks to skip.")
    ] = 0,
    json: Json = False,
) -> None:
    """List the tasks that a schedule enqueued, newest first."""
    from asynqio.cli.cron.show import show_history

    show_history(broker, id, size, offset, as_json=json)


@cron.command()
def run(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Enqueue the task of a schedule now. Later ticks are not affected."""
    from asynqio.cli.cron.actions import run_schedule

    run_schedule(broker, id, as_json=json)


@cron.command()
def pause(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Stop firing a schedule until it is resumed."""
    from asynqio.cli.cron.actions import pause_schedule

    pause_schedule(broker, id, as_json=json)


@cron.command()
def resume(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Resume a paused schedule. Ticks missed meanwhile are skipped."""
    from asynqio.cli.cron.actions import resume_schedule

    resume_schedule(broker, id, as_json=json)


@cron.command()
def reset(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Clear the last tick of a schedule and resume it.

    Use it after the clock of a scheduler was wrong."""
    from asynqio.cli.cron.actions import reset_schedule

    reset_schedule(broker, id, as_json=json)


@cron.command("next")
def show_next(
    what: Annotated[str, Argument(metavar="SPEC|ID", help='A spec such as "*/5 * * * *", or a schedule id.')],
    broker: BrokerUrl = None,
    count: Annotated[int, Option("--count", "-n", metavar="N", min=1, max=1000, help="Number of times.")] = 5,
    zone: Annotated[
        str, Option("--zone", metavar="NAME", help="Time zone of a spec that does not name one.")
    ] = "UTC",
    json: Json = False,
) -> None:
    """Print the next times at which a spec or a schedule fires."""
    from asynqio.cli.cron.show import show_next_times

    show_next_times(broker, what, count, zone, as_json=json)


@cron.command()
def serve(
    target: AppTarget,
    broker: AppBrokerUrl = None,
    include: Include = None,
    log_level: LogLevelOption = LogLevel.INFO,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Fire the schedules of an App without running its tasks.

    Only needed with workers that run with --no-scheduler: by default, workers fire the schedules themselves.
    """
    from asynqio.cli.cron.serve import serve

    serve(target, broker, include or (), log_level=log_level.value, log_format=log_format.value)
