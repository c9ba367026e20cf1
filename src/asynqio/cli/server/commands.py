"""Declares `asynqio server`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Exit

from asynqio.cli.options import BrokerUrl, Json, Watch, command_group

servers = command_group("List worker servers and what they run.")


@servers.command("list", hidden=True)
@servers.command("ls")
def ls(broker: BrokerUrl = None, json: Json = False, watch: Watch = None) -> None:
    """List the live worker servers (alias: list)."""
    from asynqio.cli.server.show import list_servers

    list_servers(broker, as_json=json, watch=watch)


@servers.command()
def inspect(
    names: Annotated[list[str], Argument(metavar="SERVER...", help="Server ids, id prefixes, or HOST:PID.")],
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Show servers and the tasks they run."""
    from asynqio.cli.server.show import inspect_servers

    raise Exit(inspect_servers(broker, names, as_json=json, watch=watch))
