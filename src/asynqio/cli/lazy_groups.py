"""The root command group, which imports the module of a command only when that command is used.

Building every command takes longer than everything else that `asynqio --help` does (80 of 215 ms).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import typer.main
from typer import Typer
from typer.core import TyperGroup


class Target(NamedTuple):
    """Where a command is declared."""

    #: `module:name` of a Typer (a group of commands) or of a function (a single command).
    path: str
    #: The line that `asynqio --help` shows.
    help: str

    def load(self, name: str) -> Any:
        """Import the module and build the command."""
        module, _, attribute = self.path.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, Typer):
            command: Any = typer.main.get_group(found)
        else:
            single = Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
            single.command(name)(found)
            command = typer.main.get_command(single)
        command.name = name
        return command


class LazyGroup(TyperGroup):
    """A command group built from a table of targets."""

    targets: ClassVar[Mapping[str, Target]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.targets)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.targets and cmd_name not in self.commands:
            self.commands[cmd_name] = self.targets[cmd_name].load(cmd_name)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, target.help) for name, target in self.targets.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Build every command before reporting a misspelled one, so that Typer can suggest the right name."""
        if args and args[0] not in self.targets:
            for name in self.targets:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)
