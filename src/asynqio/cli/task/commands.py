"""`asynqio task`: what it takes from the command line to look at tasks and to put them in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from asynqio.cli.options import (
    BrokerUrl,
    Json,
    OfType,
    Older,
    Output,
    State,
    Timeout,
    Watch,
    Where,
    WithError,
    WithPrefix,
    Younger,
    conditions,
    group_of_commands,
)

tasks = group_of_commands("Tasks: look, find, run, archive, delete, cancel, enqueue, edit.")

Payload = Annotated[str | None, Option("--payload", "-l", metavar="TEXT", help="The payload.")]
PayloadFile = Annotated[
    Path | None,
    Option("--payload-file", metavar="FILE", help="The payload is in this file; - is standard input."),
]


@tasks.command("list", hidden=True)
@tasks.command("ls")
def ls(
    queue: Annotated[str | None, Option("--queue", "-q", help="Only this queue.")] = None,
    state: Annotated[list[State] | None, Option("--state", "-s", help="Only these states.")] = None,
    group: Annotated[str, Option("--group", "-g", help="Of aggregating tasks, only this group.")] = "",
    where: Where = None,
    type: OfType = None,
    error: WithError = None,
    id_prefix: WithPrefix = None,
    older_than: Older = None,
    younger_than: Younger = None,
    size: Annotated[int, Option("--size", "--limit", "-n", min=1, help="At most so many.")] = 30,
    page: Annotated[int, Option("--page", min=1, help="The first is 1.")] = 1,
    output: Annotated[
        Output, Option("--output", "-o", help="What is printed; ids are for pipes.")
    ] = Output.TABLE,
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """List tasks, of all queues and states or some, all or those that match (also: list)."""
    from asynqio.cli.task.show import Wanted, list_tasks

    words = conditions(where, type, error, id_prefix, older_than, younger_than)
    wanted = Wanted(queue, tuple(one.value for one in state or ()), group, tuple(words), size, page)
    list_tasks(broker, wanted, "json" if json else output.value, watch=watch)


@tasks.command()
def inspect(
    ids: Annotated[list[str] | None, Argument(metavar="ID...", help="Tasks.")] = None,
    id: Annotated[list[str] | None, Option("--id", "-i", help="The same.", hidden=True)] = None,
    queue: Annotated[str | None, Option("--queue", "-q", help="Their queue; else it is looked for.")] = None,
    broker: BrokerUrl = None,
    json: Json = False,
    watch: Watch = None,
) -> None:
    """Show everything about tasks."""
    from asynqio.cli.task.show import inspect_tasks

    raise Exit(inspect_tasks(broker, queue, [*(ids or []), *(id or [])], as_json=json, watch=watch))


@tasks.command()
def edit(
    id: Annotated[str, Argument(metavar="ID", help="A task that waits or is archived.")],
    payload: Payload = None,
    payload_file: PayloadFile = None,
    queue: Annotated[str | None, Option("--queue", "-q", help="Its queue; else it is looked for.")] = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Give a waiting task another payload."""
    from asynqio.cli.task.enqueue import edit_task

    raise Exit(edit_task(broker, queue, id, payload, payload_file, as_json=json))


@tasks.command()
def enqueue(
    type: Annotated[str | None, Option("--type", "-t", "--type_name", help="The type of the task.")] = None,
    payload: Payload = None,
    payload_file: PayloadFile = None,
    ndjson: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help='Many tasks, one JSON object a line, such as {"type": "a", "payload": {"n": 1}, "queue": "low"}; '
            "- is standard input. The other options are defaults for all.",
        ),
    ] = None,
    queue: Annotated[str | None, Option("--queue", "-q", help="Into this queue.")] = None,
    id: Annotated[str | None, Option("--id", "-i", help="Its id; else it gets a fresh one.")] = None,
    retry: Annotated[
        int | None, Option("--retry", "-r", "--max-retry", help="At most so many retries.")
    ] = None,
    timeout: Annotated[
        str | None, Option("--timeout", metavar="TIME", help="How long an attempt may take: 30s.")
    ] = None,
    deadline: Annotated[
        str | None,
        Option("--deadline", metavar="WHEN", help="Until when it must be over: 2026-12-24T18:00:00Z."),
    ] = None,
    unique: Annotated[
        str | None, Option("--unique", "-u", metavar="TIME", help="Refuse another one like it for so long.")
    ] = None,
    process_at: Annotated[
        str | None, Option("--process-at", "--process_at", metavar="WHEN", help="Not before this time.")
    ] = None,
    process_in: Annotated[
        str | None,
        Option("--process-in", "--process_in", metavar="TIME", help="Not before so long from now."),
    ] = None,
    retention: Annotated[
        str | None, Option("--retention", metavar="TIME", help="Keep it so long when it is completed.")
    ] = None,
    group: Annotated[
        str | None, Option("--group", "-g", help="Aggregate it with others of this group.")
    ] = None,
    header: Annotated[
        list[str] | None,
        Option("--header", "-H", metavar="NAME=VALUE", help="A header; several are possible."),
    ] = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Put a task in, or many."""
    from asynqio.cli.task.enqueue import Order, enqueue_tasks

    texts = {
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
    given = {name: text for name, text in texts.items() if text is not None}
    raise Exit(enqueue_tasks(broker, Order(type, payload, payload_file, ndjson, given), as_json=json))


@tasks.command()
def follow(
    id: Annotated[str, Argument(metavar="ID", help="A task.")],
    queue: Annotated[str | None, Option("--queue", "-q", help="Its queue; else it is looked for.")] = None,
    timeout: Timeout = None,
    broker: BrokerUrl = None,
    json: Json = False,
) -> None:
    """Print states, progress and log lines of a task as they happen, until it is over."""
    from asynqio.cli.task.follow import follow_task

    raise Exit(follow_task(broker, id, queue, timeout, as_json=json))
