"""What `asynqio task enqueue` and `edit` do."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from asynqio import AsynqioError, Client, EnqueueError, Inspector, Task, TaskInfo, parse_seconds
from asynqio.cli.output import json as records
from asynqio.cli.output.format import count
from asynqio.cli.output.results import FAILED, IN_PART, Outcome, report
from asynqio.cli.output.terminal import Refused, clean, hint, progress, run, show
from asynqio.cli.task.locate import locate

#: Lines enqueued together.
BATCH_SIZE = 1_000
#: Options whose texts are durations, and moments.
DURATIONS, MOMENTS = ("timeout", "unique", "process_in", "retention"), ("deadline", "process_at")


class Order(NamedTuple):
    """What to put in: one task, or a file of many."""

    type: str | None
    payload: str | None
    payload_file: Path | None
    ndjson: Path | None
    options: Mapping[str, Any]


def enqueue_tasks(url: str | None, order: Order, *, as_json: bool) -> int:
    """Put it in; the exit status. Raises Refused, an EnqueueError."""
    options = _options(order.options)
    if order.ndjson is not None:
        if order.payload is not None or order.payload_file is not None or "task_id" in options:
            raise Refused("--ndjson takes payloads and ids from its lines: leave out --payload and --id")
        return _enqueue_many(url, order.ndjson, order.type, options, as_json=as_json)
    if order.type is None:
        raise Refused("which --type?")
    payload = _payload(order.payload, order.payload_file)

    async def work() -> TaskInfo:
        async with Client(url) as client:
            return await client.enqueue(Task(order.type or "", payload), **options)

    info = run(work())
    show(
        records.task(info),
        lambda: print(clean(f"task {info.id} is {info.state} in queue {info.queue}")),
        as_json=as_json,
    )
    return 0


def _options(texts: Mapping[str, Any]) -> dict[str, Any]:
    """Options out of what the command line says of them. Raises Refused."""
    return {name: _option(name, value) for name, value in texts.items()}


def _option(name: str, value: Any) -> Any:
    try:
        if name in DURATIONS and isinstance(value, str):
            return parse_seconds(value)
        if name in MOMENTS and isinstance(value, str):
            return datetime.fromisoformat(value)
    except ValueError as problem:
        said = str(problem) if name in DURATIONS else "is not a time such as 2026-12-24T18:00:00Z"
        raise Refused(f"{name}={value!r} {said}") from None
    if name == "headers" and isinstance(value, list):
        pairs = [text.partition("=") for text in value]
        if bad := [text for text, (_, equals, _) in zip(value, pairs, strict=True) if not equals]:
            raise Refused(f"header {bad[0]!r} has no value: write NAME=VALUE")
        return {key: text for key, _, text in pairs}
    return value


def _payload(text: str | None, file: Path | None) -> bytes | None:
    """The bytes that were given, or were named. Raises Refused."""
    if text is not None and file is not None:
        raise Refused("--payload or --payload-file, not both")
    if file is not None:
        with _open(file) as stream:
            return stream.read()
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _open(file: Path) -> BinaryIO:
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as problem:
        raise Refused(f"{str(file)!r} cannot be read: {problem.strerror}") from None


# --- many -----------------------------------------------------------------------------------------


def _enqueue_many(
    url: str | None, file: Path, type: str | None, options: dict[str, Any], *, as_json: bool
) -> int:
    taken = refused = 0

    async def work() -> None:
        nonlocal taken, refused
        with _open(file) as stream, progress("enqueue") as told:
            # What a line says counts more.
            async with Client(url, **options) as client:
                lines = _lines(stream)
                while some := list(itertools.islice(lines, BATCH_SIZE)):
                    tasks = [_task(line, type) for _, line in some]
                    good = [task for task in tasks if isinstance(task, Task)]
                    answers = iter(await client.enqueue_many(good))
                    for (number, _), task in zip(some, tasks, strict=True):
                        answer = next(answers) if isinstance(task, Task) else task
                        if isinstance(answer, TaskInfo):
                            taken += 1
                        else:
                            refused += 1
                            hint(f"line {number}: {clean(answer)}")
                    told(taken + refused)

    run(work())
    said = {"enqueued": taken, "refused": refused}
    show(said, lambda: print(f"{count(taken, 'task')} enqueued, {refused:,} refused"), as_json=as_json)
    if not refused:
        return 0
    return IN_PART if taken else FAILED


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that hold something, with their numbers."""
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line


def _task(line: bytes, type: str | None) -> Task | AsynqioError | Refused:
    """The task of a line, or what is wrong with it."""
    try:
        found = msgspec.json.decode(line)
        if not isinstance(found, dict):
            return Refused("is not a JSON object")
        kind = found.pop("type", type)
        payload = msgspec.json.encode(found.pop("payload")) if "payload" in found else None
        return Task(kind, payload, **{name: _option(name, value) for name, value in found.items()})
    except msgspec.DecodeError as problem:
        return Refused(f"is not JSON: {problem}")
    except (EnqueueError, Refused) as problem:
        return problem


# --- edit -----------------------------------------------------------------------------------------


def edit_task(
    url: str | None, queue: str | None, id: str, text: str | None, file: Path | None, *, as_json: bool
) -> int:
    payload = _payload(text, file)
    if payload is None:
        raise Refused("which payload? --payload TEXT, or --payload-file FILE")

    async def work() -> list[Outcome]:
        async with Inspector(url) as inspector:
            found, outcomes = await locate(inspector, queue, [id])
            for info in found:
                try:
                    await inspector.rewrite(info, payload)
                    outcomes.append(Outcome(id, True, "done", f"task {id} has a new payload"))
                except AsynqioError as error:
                    outcomes.append(Outcome.of(id, error))
        return outcomes

    return report("id", run(work()), as_json=as_json)
