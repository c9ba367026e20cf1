"""Declares `asynqio group`."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from asynqio.cli.options import BrokerUrl, Json, Watch, command_group

groups = command_group("List groups of tasks waiting to be aggregated.")


@groups.command("list", hidden=True)
@groups.command("ls")
def ls(
    queue: Annotated[
        str | None, Option("--queue", "-q", metavar="NAME", help="Only groups of this queue.")
    ] = None,
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """List groups with their sizes and ages (alias: list)."""
    from asynqio.cli.group.show import list_groups

    list_groups(broker, queue, as_json=json, watch=watch)
