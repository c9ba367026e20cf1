"""`asynqio cron`: the commands and their options; what they do is in cron_actions.py, loaded when one is called."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option, Typer

from asynqio.cli.options import BrokerUrl, Json

cron = Typer(help="Look at schedules, and act on them.", rich_markup_mode=None, no_args_is_help=True)

Id = Annotated[str, Argument(metavar="ID", help="The id of a schedule, as `cron ls` shows it.")]


@cron.command("ls")
def ls(broker: BrokerUrl = None, json: Json = False) -> None:
    """List the schedules that somebody serves."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.ls(broker, as_json=json)


cron.command("list", hidden=True)(ls)


@cron.command()
def history(
    id: Id,
    broker: BrokerUrl = None,
    size: Annotated[int, Option("--size", min=1, help="How many at most.")] = 30,
    offset: Annotated[int, Option("--offset", min=0, help="How many of the newest to pass over.")] = 0,
    json: Json = False,
) -> None:
    """List the tasks that a schedule has put in, newest first."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.history(broker, id, size, offset, as_json=json)


@cron.command()
def run(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Put the task of a schedule in now; its ticks go on as ever."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.trigger(broker, id, as_json=json)


@cron.command()
def pause(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Let a schedule fire no more until it is resumed."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.hold(broker, id, paused=True, as_json=json)


@cron.command()
def resume(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Let a schedule fire again; what was due meanwhile is not made up."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.hold(broker, id, paused=False, as_json=json)


@cron.command()
def reset(id: Id, broker: BrokerUrl = None, json: Json = False) -> None:
    """Forget the last tick of a schedule, after a clock was wrong, and whether it is paused."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.reset(broker, id, as_json=json)


@cron.command("next")
def following(
    what: Annotated[str, Argument(metavar="SPEC|ID", help='A spec such as "*/5 * * * *", or the id of one.')],
    broker: BrokerUrl = None,
    count: Annotated[int, Option("--count", "-n", min=1, max=1000, help="How many.")] = 5,
    zone: Annotated[str, Option("--zone", help="The time zone of a spec that names none.")] = "UTC",
    json: Json = False,
) -> None:
    """Print when a spec, or a schedule, fires next."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.following(broker, what, count, zone, as_json=json)


@cron.command()
def serve(
    target: Annotated[str, Argument(metavar="MODULE:APP", help="Where the App is, such as shop.tasks:app.")],
    broker: Annotated[
        str | None, Option("--broker", metavar="URL", help="Use this broker instead of the one of the App.")
    ] = None,
    log_level: Annotated[str, Option("--log-level", help="debug, info, warning or error.")] = "info",
) -> None:
    """Fire the schedules of an App, without running its tasks. Workers of the App do so by themselves."""
    from asynqio.cli.cron import actions as cron_actions

    cron_actions.serve(target, broker, log_level)
