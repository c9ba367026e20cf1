"""`asynqio group` and `server`: what they take from the command line."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Exit, Option

from asynqio.cli.options import BrokerUrl, Json, Watch, group_of_commands

groups = group_of_commands("Groups of tasks that wait to be aggregated.")
servers = group_of_commands("Worker servers, and what they are running.")


@groups.command("list", hidden=True)
@groups.command("ls")
def ls_groups(
    queue: Annotated[str | None, Option("--queue", "-q", help="Only of this queue.")] = None,
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """List groups with their sizes and ages (also: list)."""
    from asynqio.cli.server.show import list_groups

    list_groups(broker, queue, as_json=json, watch=watch)


@servers.command("list", hidden=True)
@servers.command("ls")
def ls_servers(broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """List the worker servers that are alive (also: list)."""
    from asynqio.cli.server.show import list_servers

    list_servers(broker, as_json=json, watch=watch)


@servers.command("inspect")
def inspect_servers(
    names: Annotated[list[str], Argument(metavar="SERVER...", help="Ids, beginnings of ids, or HOST:PID.")],
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Show servers with the tasks that they are running."""
    from asynqio.cli.server.show import inspect_servers as inspect

    raise Exit(inspect(broker, names, as_json=json, watch=watch))
