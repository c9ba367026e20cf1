"""Declares `asynqio queue`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Exit, Option

from asynqio.cli.options import BrokerUrl, Json, Timeout, Watch, Yes, command_group

queues = command_group("List, inspect, pause, drain and remove queues.")

Names = Annotated[list[str], Argument(metavar="QUEUE...", help="Queue names.")]
Types = Annotated[
    list[str] | None,
    Option("--type", "-t", metavar="TYPE", help="Only tasks of this type. Repeatable."),
]


@queues.command("list", hidden=True)
@queues.command("ls")
def ls(broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """List all queues with their statistics (alias: list)."""
    from asynqio.cli.queue.show import list_queues

    list_queues(broker, as_json=json, watch=watch)


@queues.command()
def inspect(names: Names, broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """Show all statistics of queues."""
    from asynqio.cli.queue.show import inspect_queues

    inspect_queues(broker, names, as_json=json, watch=watch)


@queues.command()
def history(
    names: Names,
    days: Annotated[
        int, Option("--days", "-x", metavar="N", min=1, max=90, help="Number of days, including today.")
    ] = 10,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Show processed and failed tasks per day (UTC), newest first."""
    from asynqio.cli.queue.show import show_history

    show_history(broker, names, days, as_json=json)


@queues.command()
def pause(names: Names, type: Types = None, broker: BrokerUrl = None, json: Json = False) -> None:
    """Stop handing out tasks of queues, or of task types. Running tasks continue."""
    from asynqio.cli.queue.actions import pause_queues

    raise Exit(pause_queues(broker, names, type or (), paused=True, as_json=json))


@queues.command("unpause", hidden=True)
@queues.command("resume")
def resume(names: Names, type: Types = None, broker: BrokerUrl = None, json: Json = False) -> None:
    """Resume paused queues or task types (alias: unpause)."""
    from asynqio.cli.queue.actions import pause_queues

    raise Exit(pause_queues(broker, names, type or (), paused=False, as_json=json))


@queues.command()
def drain(names: Names, timeout: Timeout = None, broker: BrokerUrl = None, json: Json = False) -> None:
    """Wait until queues have no pending and no active tasks."""
    from asynqio.cli.queue.drain import drain_queues

    raise Exit(drain_queues(broker, names, timeout, as_json=json))


@queues.command("remove", hidden=True)
@queues.command("delete", hidden=True)
@queues.command("rm")
def rm(
    names: Names,
    force: Annotated[bool, Option("--force", "-f", help="Also delete the tasks in the queues.")] = False,
    yes: Yes = False,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Remove queues (aliases: remove, delete)."""
    from asynqio.cli.queue.actions import remove_queues

    raise Exit(remove_queues(broker, names, force=force, yes=yes, as_json=json))
