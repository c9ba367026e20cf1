"""`asynqio queue`: what it takes from the command line."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Exit, Option

from asynqio.cli.options import BrokerUrl, Json, Timeout, Watch, Yes, group_of_commands

queues = group_of_commands("Queues: figures, history, pause, remove.")

Names = Annotated[list[str], Argument(metavar="QUEUE...", help="Names of queues.")]

Types = Annotated[
    list[str] | None,
    Option("--type", "-t", metavar="TYPE", help="Only tasks of this type; several are possible."),
]


@queues.command("list", hidden=True)
@queues.command("ls")
def ls(broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """List all queues with their figures (also: list)."""
    from asynqio.cli.queue.actions import list_queues

    list_queues(broker, as_json=json, watch=watch)


@queues.command()
def inspect(names: Names, broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """Show everything about queues."""
    from asynqio.cli.queue.actions import inspect_queues

    inspect_queues(broker, names, as_json=json, watch=watch)


@queues.command()
def history(
    names: Names,
    days: Annotated[int, Option("--days", "-x", min=1, max=90, help="How many, today first.")] = 10,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Show what queues did day by day (UTC)."""
    from asynqio.cli.queue.actions import show_history

    show_history(broker, names, days, as_json=json)


@queues.command()
def pause(names: Names, type: Types = None, broker: BrokerUrl = None, json: Json = False) -> None:
    """Hand out no more tasks of queues, or run none of a type; those that run go on."""
    from asynqio.cli.queue.actions import pause_queues

    raise Exit(pause_queues(broker, names, type or (), paused=True, as_json=json))


@queues.command("unpause", hidden=True)
@queues.command("resume")
def resume(names: Names, type: Types = None, broker: BrokerUrl = None, json: Json = False) -> None:
    """Hand out tasks of paused queues, or run those of a paused type again (also: unpause)."""
    from asynqio.cli.queue.actions import pause_queues

    raise Exit(pause_queues(broker, names, type or (), paused=False, as_json=json))


@queues.command()
def drain(names: Names, timeout: Timeout = None, broker: BrokerUrl = None, json: Json = False) -> None:
    """Wait until no task of queues is pending or running."""
    from asynqio.cli.task.follow import drain_queues

    raise Exit(drain_queues(broker, names, timeout, as_json=json))


@queues.command("remove", hidden=True)
@queues.command("delete", hidden=True)
@queues.command("rm")
def rm(
    names: Names,
    force: Annotated[bool, Option("--force", "-f", help="Also if there are tasks in them.")] = False,
    yes: Yes = False,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Remove queues with all that belongs to them (also: remove, delete)."""
    from asynqio.cli.queue.actions import remove_queues

    raise Exit(remove_queues(broker, names, force=force, yes=yes, as_json=json))
