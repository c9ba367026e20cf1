"""Groups of commands that are made when they are used: to make all of them takes longer than everything else that
`asynqio --help` does (80 of 215 ms)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import typer.main
from typer.core import TyperGroup


class Noun(NamedTuple):
    """One group of commands: where its Typer is, as `module:name`, and what the page of help says of it."""

    home: str
    help: str


#: By name, in the order in which they are shown.
NOUNS: Mapping[str, Noun] = {
    "queue": Noun("asynqio.cli.queue.commands:queues", "Queues: figures, history, pause, remove."),
    "task": Noun(
        "asynqio.cli.task.action_commands:tasks", "Tasks: find, run, archive, delete, cancel, enqueue, edit."
    ),
    "group": Noun("asynqio.cli.server.commands:groups", "Groups of tasks that wait to be aggregated."),
    "cron": Noun("asynqio.cli.cron.commands:cron", "Schedules: look at them, and act on them."),
    "server": Noun("asynqio.cli.server.commands:servers", "Worker servers, and what they are running."),
}


class Later(TyperGroup):
    """A group whose commands are made when somebody asks for them."""

    def __init__(self, name: str, noun: Noun) -> None:
        super().__init__(name=name, help=noun.help, no_args_is_help=True, rich_markup_mode=None)
        self._home = noun.home
        self._made = False

    def _make(self) -> None:
        if not self._made:
            self._made = True
            module, _, name = self._home.partition(":")
            group = typer.main.get_group(getattr(importlib.import_module(module), name))
            self.commands.update(group.commands)

    def list_commands(self, ctx: Any) -> list[str]:
        self._make()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        self._make()
        return super().get_command(ctx, cmd_name)


class Nouns(TyperGroup):
    """All commands: the nouns above, and what is entered by decorators."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, noun in NOUNS.items():
            self.commands[name] = Later(name, noun)
