"""Declares `asynqio task` and `asynqio explain`."""

from __future__ import annotations

import inspect as signatures
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Exit, Option

from asynqio.cli.options import (
    BrokerUrl,
    ErrorFilter,
    IdPrefixFilter,
    Json,
    ListFormat,
    OlderFilter,
    State,
    Timeout,
    TypeFilter,
    Watch,
    Where,
    Yes,
    YoungerFilter,
    command_group,
    conditions,
)

tasks = command_group("Find, enqueue, run, cancel, archive and delete tasks.")

Payload = Annotated[str | None, Option("--payload", "-l", metavar="TEXT", help="The payload.")]
PayloadFile = Annotated[
    Path | None,
    Option("--payload-file", metavar="FILE", help="Read the payload from FILE; - is standard input."),
]
TaskQueue = Annotated[
    str | None,
    Option("--queue", "-q", metavar="NAME", help="The queue of the task (default: search all queues)."),
]


# --- looking at tasks -----------------------------------------------------------------------------


@tasks.command("list", hidden=True)
@tasks.command("ls")
def ls(
    queue: Annotated[
        str | None, Option("--queue", "-q", metavar="NAME", help="Only tasks of this queue.")
    ] = None,
    state: Annotated[
        list[State] | None, Option("--state", "-s", help="Only tasks in this state. Repeatable.")
    ] = None,
    group: Annotated[
        str, Option("--group", "-g", metavar="NAME", help="Of aggregating tasks, only those of this group.")
    ] = "",
    where: Where = None,
    type: TypeFilter = None,
    error: ErrorFilter = None,
    id_prefix: IdPrefixFilter = None,
    older_than: OlderFilter = None,
    younger_than: YoungerFilter = None,
    size: Annotated[int, Option("--size", "--limit", "-n", metavar="N", min=1, help="Tasks per page.")] = 30,
    page: Annotated[int, Option("--page", metavar="N", min=1, help="Page number; the first is 1.")] = 1,
    output: Annotated[
        ListFormat, Option("--output", "-o", help="Output format; ids prints one id per line.")
    ] = ListFormat.TABLE,
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """List tasks (alias: list)."""
    from asynqio.cli.task.show import Page, list_tasks

    filters = conditions(where, type, error, id_prefix, older_than, younger_than)
    wanted = Page(queue, tuple(one.value for one in state or ()), group, tuple(filters), size, page)
    list_tasks(broker, wanted, "json" if json else output.value, watch=watch)


@tasks.command()
def inspect(
    ids: Annotated[list[str] | None, Argument(metavar="ID...", help="Task ids.")] = None,
    id: Annotated[list[str] | None, Option("--id", "-i", hidden=True)] = None,
    queue: TaskQueue = None,
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Show all fields of tasks."""
    from asynqio.cli.task.show import inspect_tasks

    raise Exit(inspect_tasks(broker, queue, [*(ids or []), *(id or [])], as_json=json, watch=watch))


@tasks.command()
def follow(
    id: Annotated[str, Argument(metavar="ID", help="A task id.")],
    queue: TaskQueue = None,
    timeout: Timeout = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Print states, progress and log lines until a task ends."""
    from asynqio.cli.task.follow import follow_task

    raise Exit(follow_task(broker, id, queue, timeout, as_json=json))


def explain(
    task: Annotated[str, Argument(metavar="TASK", help="A task id.")],
    queue: Annotated[
        str | None,
        Option("--queue", "-q", metavar="NAME", help="The queue of the task (default: search all queues)."),
    ] = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Explain what happened to a task, why it is in its state, and what happens next."""
    from asynqio.cli.task.explain import explain_task

    raise Exit(explain_task(broker, task, queue, as_json=json))


# --- enqueueing and editing -----------------------------------------------------------------------


@tasks.command()
def enqueue(
    type: Annotated[
        str | None, Option("--type", "-t", "--type_name", metavar="TYPE", help="The task type.")
    ] = None,
    payload: Payload = None,
    payload_file: PayloadFile = None,
    ndjson: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help='Enqueue one task per line of JSON, such as {"type": "a", "payload": {"n": 1}, "queue": "low"}; '
            "- is standard input. The other options are defaults.",
        ),
    ] = None,
    queue: Annotated[str | None, Option("--queue", "-q", metavar="NAME", help="The queue.")] = None,
    id: Annotated[
        str | None, Option("--id", "-i", metavar="ID", help="The task id (default: generated).")
    ] = None,
    retry: Annotated[
        int | None, Option("--retry", "-r", "--max-retry", metavar="N", help="Maximum number of retries.")
    ] = None,
    timeout: Annotated[
        str | None, Option("--timeout", metavar="TIME", help="Time limit of one attempt: 30s.")
    ] = None,
    deadline: Annotated[
        str | None,
        Option("--deadline", metavar="WHEN", help="Time by which the task must end: 2026-12-24T18:00:00Z."),
    ] = None,
    unique: Annotated[
        str | None, Option("--unique", "-u", metavar="TIME", help="Refuse duplicates for TIME.")
    ] = None,
    process_at: Annotated[
        str | None, Option("--process-at", "--process_at", metavar="WHEN", help="Run no earlier than WHEN.")
    ] = None,
    process_in: Annotated[
        str | None,
        Option("--process-in", "--process_in", metavar="TIME", help="Run no earlier than in TIME."),
    ] = None,
    retention: Annotated[
        str | None, Option("--retention", metavar="TIME", help="Keep the completed task for TIME.")
    ] = None,
    group: Annotated[
        str | None, Option("--group", "-g", metavar="NAME", help="Aggregate with tasks of this group.")
    ] = None,
    header: Annotated[
        list[str] | None, Option("--header", "-H", metavar="NAME=VALUE", help="A header. Repeatable.")
    ] = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Enqueue one task, or many with --ndjson."""
    from asynqio.cli.task.enqueue import Request, enqueue_tasks

    options = {
        "queue": queue,
        "task_id": id,
        "max_retry": retry,
        "timeout": timeout,
        "deadline": deadline,
        "unique": unique,
        "process_at": process_at,
        "process_in": process_in,
        "retention": retention,
        "group": group,
        "headers": header or None,
    }
    given = {name: value for name, value in options.items() if value is not None}
    raise Exit(enqueue_tasks(broker, Request(type, payload, payload_file, ndjson, given), as_json=json))


@tasks.command()
def edit(
    id: Annotated[str, Argument(metavar="ID", help="The id of a waiting or archived task.")],
    payload: Payload = None,
    payload_file: PayloadFile = None,
    queue: TaskQueue = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Replace the payload of a waiting or archived task."""
    from asynqio.cli.task.edit import edit_task

    raise Exit(edit_task(broker, queue, id, payload, payload_file, as_json=json))


# --- run, archive, delete, move, cancel: the same options for each action --------------------------

#: Options that only one action has.
SPECIAL_OPTIONS = ("to", "final")

ActionQueue = Annotated[
    str | None,
    Option("--queue", "-q", metavar="NAME", help="The queue of the tasks (default: search all queues)."),
]
ActionStates = Annotated[
    list[State] | None, Option("--state", "-s", help="Act on tasks in this state. Repeatable.")
]
ActionGroup = Annotated[
    str, Option("--group", "-g", metavar="NAME", help="Of aggregating tasks, only those of this group.")
]


def _action_command(action: str, help: str, special: str) -> Callable[..., None]:
    """The command of one action. `special` names the special option that it has, if any."""

    def act(
        ids: Annotated[list[str] | None, Argument(metavar="ID...", help="Task ids.")] = None,
        id: Annotated[list[str] | None, Option("--id", "-i", hidden=True)] = None,
        queue: ActionQueue = None,
        stdin: Annotated[bool, Option("--stdin", help="Read ids from standard input, one per line.")] = False,
        all: Annotated[bool, Option("--all", help="Act on all tasks in the states.")] = False,
        state: ActionStates = None,
        group: ActionGroup = "",
        where: Where = None,
        type: TypeFilter = None,
        error: ErrorFilter = None,
        id_prefix: IdPrefixFilter = None,
        older_than: OlderFilter = None,
        younger_than: YoungerFilter = None,
        max: Annotated[
            int | None, Option("--max", metavar="N", min=1, help="Act on at most N matching tasks.")
        ] = None,
        dry_run: Annotated[
            bool, Option("--dry-run", help="Only print what would be done; -o ids lists the tasks.")
        ] = False,
        output: Annotated[ListFormat, Option("--output", "-o", hidden=True)] = ListFormat.TABLE,
        yes: Yes = False,
        broker: BrokerUrl = None,
        json: Json = False,
        to: Annotated[str, Option("--to", metavar="QUEUE", help="The queue to move tasks to.")] = "",
        final: Annotated[
            bool,
            Option("--final", "--archive", help="Archive the tasks that run, instead of retrying them."),
        ] = False,
    ) -> None:
        from asynqio.cli.task.actions import act_on
        from asynqio.cli.task.selection import Selection
        from asynqio.cli.task.task_action import TaskAction

        filters = conditions(where, type, error, id_prefix, older_than, younger_than)
        states = tuple(one.value for one in state or ())
        named = (*(ids or ()), *(id or ()))
        selection = Selection(named, queue, stdin, all, states, group, tuple(filters), max)
        format = "json" if json else output.value
        status = act_on(
            broker, TaskAction(action, to, final), selection, output=format, dry_run=dry_run, yes=yes
        )
        raise Exit(status)

    signature = signatures.signature(act, eval_str=True)
    shown = [
        parameter
        for name, parameter in signature.parameters.items()
        if name not in SPECIAL_OPTIONS or name == special
    ]
    command: Any = act
    command.__signature__ = signature.replace(parameters=shown)
    command.__doc__ = help
    return act


def _action_on_all_command(action: str) -> Callable[..., None]:
    """The hidden command that asynq's tool in Go has for all tasks in a state: `runall`, `archiveall` …"""

    def act(
        queue: Annotated[str, Option("--queue", "-q")],
        state: Annotated[list[State], Option("--state", "-s")],
        group: ActionGroup = "",
        yes: Yes = False,
        broker: BrokerUrl = None,
        json: Json = False,
    ) -> None:
        from asynqio.cli.task.actions import act_on
        from asynqio.cli.task.selection import Selection
        from asynqio.cli.task.task_action import TaskAction

        selection = Selection((), queue, False, True, tuple(one.value for one in state), group, (), None)
        format = "json" if json else "table"
        raise Exit(act_on(broker, TaskAction(action), selection, output=format, dry_run=False, yes=yes))

    act.__doc__ = f"`task {action} --all` under the name that asynq's tool in Go uses."
    return act


def _declare(names: str, help: str, special: str = "") -> None:
    """Declare the command of an action, its aliases (hidden) and its `…all` command (hidden)."""
    action, *aliases = names.split()
    command: Any = _action_command(action, help, special)
    tasks.command(action)(command)
    for alias in aliases:
        tasks.command(alias, hidden=True)(command)
    if not special:
        tasks.command(f"{action}all", hidden=True)(_action_on_all_command(action))


_declare("run", "Make waiting, archived or completed tasks pending now.")
_declare("archive", "Archive tasks: keep them without running them.")
_declare("delete rm remove", "Delete tasks (aliases: rm, remove).")
_declare("move", "Move waiting or archived tasks to another queue.", "to")
_declare("cancel", "Cancel tasks: delete those that wait, stop those that run.", "final")
