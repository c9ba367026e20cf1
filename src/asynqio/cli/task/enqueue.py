"""Enqueues tasks: `asynqio task enqueue`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from asynqio import AsynqioError, Client, EnqueueError, Task, TaskInfo, parse_seconds
from asynqio.cli.event_loop import run
from asynqio.cli.exit_status import FAILED, PARTIAL
from asynqio.cli.output.format import count
from asynqio.cli.output.json import show, task_json
from asynqio.cli.output.terminal import Refused, clean, hint, progress
from asynqio.cli.task.lines import numbered_lines
from asynqio.cli.task.payload import open_file, read_payload

#: Lines per call of `Client.enqueue_many`.
BATCH_SIZE = 1_000
#: Options whose text is a duration, or a time.
DURATIONS, TIMES = ("timeout", "unique", "process_in", "retention"), ("deadline", "process_at")


class Request(NamedTuple):
    """What to enqueue: one task, or the tasks of the file `ndjson`."""

    type: str | None
    payload: str | None
    payload_file: Path | None
    ndjson: Path | None
    options: Mapping[str, Any]


def enqueue_tasks(url: str | None, request: Request, *, as_json: bool) -> int:
    """Enqueue the tasks. Returns the exit status. Raises Refused, EnqueueError."""
    options = {name: _parse_option(name, value) for name, value in request.options.items()}
    if request.ndjson is not None:
        if request.payload is not None or request.payload_file is not None or "task_id" in options:
            raise Refused("with --ndjson, payloads and ids come from the lines: omit --payload and --id")
        return _enqueue_lines(url, request.ndjson, request.type, options, as_json=as_json)
    if request.type is None:
        raise Refused("--type is missing")
    task = Task(request.type, read_payload(request.payload, request.payload_file))

    async def work() -> TaskInfo:
        async with Client(url) as client:
            return await client.enqueue(task, **options)

    info = run(work())
    text = clean(f"task {info.id} is {info.state} in queue {info.queue}")
    show(task_json(info), lambda: print(text), as_json=as_json)
    return 0


def _parse_option(name: str, value: Any) -> Any:
    """Convert the text of an option of the command. Raises Refused."""
    if name == "headers":
        pairs = [text.partition("=") for text in value]
        if invalid := [text for text, (_, equals, _) in zip(value, pairs, strict=True) if not equals]:
            raise Refused(f"header {invalid[0]!r} has no value; write NAME=VALUE")
        return {key: text for key, _, text in pairs}
    return _parse_time(name, value)


def _parse_time(name: str, value: Any) -> Any:
    """Convert the text of a duration or a time; other values are returned unchanged. Raises Refused."""
    try:
        if name in DURATIONS and isinstance(value, str):
            return parse_seconds(value)
        if name in TIMES and isinstance(value, str):
            return datetime.fromisoformat(value)
    except ValueError as error:
        problem = str(error) if name in DURATIONS else "is not a time such as 2026-12-24T18:00:00Z"
        raise Refused(f"{name}={value!r} {problem}") from None
    return value


# --- one task per line ----------------------------------------------------------------------------


def _enqueue_lines(
    url: str | None, file: Path, type: str | None, options: dict[str, Any], *, as_json: bool
) -> int:
    enqueued = refused = 0

    async def work() -> None:
        nonlocal enqueued, refused
        with open_file(file) as stream, progress("enqueue") as update:
            # The options are defaults of the client, so that those of a line take precedence.
            async with Client(url, **options) as client:
                lines = numbered_lines(stream)
                while batch := list(itertools.islice(lines, BATCH_SIZE)):
                    for number, result in await _enqueue_batch(client, batch, type):
                        if isinstance(result, TaskInfo):
                            enqueued += 1
                        else:
                            refused += 1
                            hint(f"line {number}: {clean(result)}")
                    update(enqueued + refused)

    run(work())
    text = f"{count(enqueued, 'task')} enqueued, {refused:,} refused"
    show({"enqueued": enqueued, "refused": refused}, lambda: print(text), as_json=as_json)
    if not refused:
        return 0
    return PARTIAL if enqueued else FAILED


async def _enqueue_batch(
    client: Client, batch: list[tuple[int, bytes]], type: str | None
) -> list[tuple[int, object]]:
    """Enqueue the valid lines together. Returns a TaskInfo or an error for each line number."""
    parsed = [_parse_line(line, type) for _, line in batch]
    results = iter(await client.enqueue_many([task for task in parsed if isinstance(task, Task)]))
    return [
        (number, next(results) if isinstance(task, Task) else task)
        for (number, _), task in zip(batch, parsed, strict=True)
    ]


def _parse_line(line: bytes, type: str | None) -> Task | AsynqioError | Refused:
    """The task of a line, or the reason why there is none."""
    try:
        fields = msgspec.json.decode(line.decode())
        if not isinstance(fields, dict):
            return Refused("is not a JSON object")
        kind = fields.pop("type", type)
        payload = msgspec.json.encode(fields.pop("payload")) if "payload" in fields else None
        return Task(kind, payload, **{name: _parse_time(name, value) for name, value in fields.items()})
    except UnicodeDecodeError:
        return Refused("is not UTF-8")
    except RecursionError:
        return Refused("is nested too deeply")
    except msgspec.DecodeError as error:
        return Refused(f"is not JSON: {error}")
    except (EnqueueError, Refused) as error:
        return error
