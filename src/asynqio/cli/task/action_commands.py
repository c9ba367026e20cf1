"""`asynqio task run`, `archive`, `delete`, `move` and `cancel`: of tasks by id, or of all that are meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

from typer import Argument, Exit, Option

from asynqio.cli.options import (
    BrokerUrl,
    Json,
    OfType,
    Older,
    Output,
    State,
    Where,
    WithError,
    WithPrefix,
    Yes,
    Younger,
    conditions,
)
from asynqio.cli.task.commands import tasks as tasks

Queue = Annotated[str | None, Option("--queue", "-q", help="Their queue; by id, it is looked for.")]
States = Annotated[list[State] | None, Option("--state", "-s", help="Of these states.")]
Group = Annotated[str, Option("--group", "-g", help="Of aggregating tasks, only of this group.")]
Most = Annotated[int | None, Option("--max", metavar="N", min=1, help="Of those that match, no more than N.")]


#: Options of some verbs only.
SPECIAL = ("to", "archive")


def _verb(verb: str, help: str, special: str) -> Callable[..., None]:
    """The command of one verb; of the special options it has the one named."""

    def act(
        ids: Annotated[list[str] | None, Argument(metavar="ID...", help="Tasks.")] = None,
        id: Annotated[list[str] | None, Option("--id", "-i", help="The same.", hidden=True)] = None,
        queue: Queue = None,
        stdin: Annotated[bool, Option("--stdin", help="Read ids from standard input.")] = False,
        all: Annotated[bool, Option("--all", help="All tasks of the states.")] = False,
        state: States = None,
        group: Group = "",
        where: Where = None,
        type: OfType = None,
        error: WithError = None,
        id_prefix: WithPrefix = None,
        older_than: Older = None,
        younger_than: Younger = None,
        max: Most = None,
        dry_run: Annotated[bool, Option("--dry-run", help="Only say which; -o ids lists them.")] = False,
        output: Annotated[Output, Option("--output", "-o", hidden=True)] = Output.TABLE,
        yes: Yes = False,
        broker: BrokerUrl = None,
        json: Json = False,
        to: Annotated[str, Option("--to", metavar="QUEUE", help="Into this queue.")] = "",
        archive: Annotated[bool, Option("--archive", help="Archive them then, instead of a retry.")] = False,
    ) -> None:
        from asynqio.cli.task.action_kinds import Deed
        from asynqio.cli.task.actions import Meant, act_on

        words = conditions(where, type, error, id_prefix, older_than, younger_than)
        states = tuple(one.value for one in state or ())
        named = (*(ids or ()), *(id or ()))
        meant = Meant(named, queue, stdin, all, states, group, tuple(words), max)
        how = "json" if json else output.value
        deed = Deed(verb, to, archive)
        raise Exit(act_on(broker, deed, meant, output=how, dry_run=dry_run, yes=yes))

    signature = inspect.signature(act, eval_str=True)
    shown = [one for name, one in signature.parameters.items() if name not in SPECIAL or name == special]
    command: Any = act
    command.__signature__ = signature.replace(parameters=shown)
    command.__doc__ = help
    return act


def _verb_of_all(verb: str) -> Callable[..., None]:
    """The command that Go's tool has for a whole state."""

    def act(
        queue: Annotated[str, Option("--queue", "-q")],
        state: Annotated[list[State], Option("--state", "-s")],
        group: Group = "",
        yes: Yes = False,
        broker: BrokerUrl = None,
        json: Json = False,
    ) -> None:
        from asynqio.cli.task.action_kinds import Deed
        from asynqio.cli.task.actions import Meant, act_on

        meant = Meant((), queue, False, True, tuple(one.value for one in state), group, (), None)
        raise Exit(
            act_on(broker, Deed(verb), meant, output="json" if json else "table", dry_run=False, yes=yes)
        )

    act.__doc__ = f"`task {verb} --all`, as Go's tool calls it."
    return act


def _enter(names: str, verb: str, help: str, special: str = "") -> None:
    first, *others = names.split()
    command: Any = _verb(verb, help, special)
    tasks.command(first)(command)
    for name in others:
        tasks.command(name, hidden=True)(command)
    if not special:
        tasks.command(f"{first}all", hidden=True)(_verb_of_all(verb))


_enter("run", "run", "Make waiting, archived or completed tasks pending now.")
_enter("archive", "archive", "Put tasks into the archive: they are kept, and not run.")
_enter("delete rm remove", "delete", "Delete tasks (also: rm, remove).")
_enter("move", "move", "Put tasks that wait, or are archived, into another queue.", "to")
_enter("cancel", "cancel", "Tell whoever runs tasks to stop.", "archive")
