"""An asynqio worker server that behaves as the Go peer in `go/server.go` and sends the same events.

`python -m tests.interop.support.worker server <url> <settings as JSON>`
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from asynqio import FixedRetry, Mux, Next, RevokeTask, Server, SkipRetry, Task, current
from tests.interop.support.views import GoServerOptions


class SoftError(Exception):
    """An error that is not a failure."""


def say(event: str, **facts: Any) -> None:
    """Write one line atomically."""
    os.write(1, msgspec.json.encode({"event": event, **facts}) + b"\n")


def seen() -> dict[str, Any]:
    """The data of a task that a handler sees."""
    context = current()
    return {
        "id": context.id,
        "type": context.type,
        "payload": context.message.payload,
        "headers": context.headers,
        "queue": context.queue,
        "retried": context.retried,
        "max_retry": context.max_retry,
        "deadline": context.deadline,
    }


async def report(task: Task, call_next: Next) -> Any:
    """Report the start and the end of an attempt."""
    say("started", task=seen())
    try:
        result = await call_next(task)
    except BaseException as error:
        say("ended", task=seen(), error=readable(error))
        if isinstance(error, SoftError | SkipRetry | RevokeTask):
            report_failure(error)  # Go's ErrorHandler is called with these too, on_error is not
        raise
    say("ended", task=seen(), error=None)
    return result


def report_error(task: Task, error: BaseException, final: bool) -> None:
    report_failure(error)


def report_failure(error: BaseException) -> None:
    say("failed", task=seen(), error=readable(error), is_panic=not isinstance(error, SoftError | SkipRetry))


def readable(error: BaseException) -> str:
    return str(error).encode("utf-8", "replace").decode() or type(error).__name__


def text(task: Task) -> str:
    return (task.payload or b"").decode()


def number(task: Task) -> int:
    """The number after the first word of the task type."""
    return int(task.type.split(":")[1])


async def ok(task: Task) -> None: ...


async def result(task: Task) -> bytes | None:
    return task.payload


async def fail(task: Task) -> None:
    raise RuntimeError(text(task))


async def garbled(task: Task) -> None:
    raise RuntimeError("half \ud800 a character, and \0")


async def flaky(task: Task) -> None:
    if current().retried < number(task):
        raise RuntimeError(f"failure {current().retried + 1}")


async def soft(task: Task) -> None:
    raise SoftError(text(task))


async def skip(task: Task) -> None:
    raise SkipRetry(text(task))


async def revoke(task: Task) -> None:
    raise RevokeTask(text(task))


async def sleep(task: Task) -> None:
    await asyncio.sleep(number(task) / 1000)


def cpu(task: Task) -> None:
    end = time.monotonic() + number(task) / 1000
    while time.monotonic() < end:
        pass


def mux() -> Mux:
    made = Mux()
    made.use(report)
    for handler in (ok, result, fail, garbled, flaky, soft, skip, revoke, sleep, cpu):
        made.handle(handler.__name__, handler)
    made.handle("panic", fail)
    return made


def server(url: str, given: GoServerOptions) -> Server:
    """Translate the settings of a Go server. Polling intervals have no equivalent."""

    def aggregate(group: str, tasks: Sequence[Task]) -> Task:
        members = [{"type": t.type, "payload": t.payload, "headers": t.headers} for t in tasks]
        say("aggregated", group=group, tasks=members)
        return Task(given.get("aggregate_type", "ok:aggregated"), b"\n".join(t.payload or b"" for t in tasks))

    return Server(
        url,
        concurrency=given.get("concurrency", 2),
        queues=given.get("queues", {"default": 1}),
        strict_priority=given.get("strict", False),
        shutdown_timeout=given.get("shutdown_timeout", 8.0),
        unknown_tasks="fail",
        retry=FixedRetry(given["retry_delay"]) if "retry_delay" in given else None,
        is_failure=lambda error: not isinstance(error, SoftError),
        on_error=report_error,
        aggregate=aggregate if given.get("aggregate") else None,
        group_grace=given.get("group_grace", 60.0),
        group_max_delay=given.get("group_max_delay", 0.0),
        group_max_size=given.get("group_max_size", 0),
    )


def end_with_the_test() -> None:
    """End the process when its standard input is closed."""
    if not os.read(0, 1024):
        os._exit(1)


async def main(url: str, settings: GoServerOptions) -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(0, end_with_the_test)
    loop.add_signal_handler(signal.SIGTERM, done.set)
    async with server(url, settings).running(mux()):
        say("ready", pid=os.getpid())
        await done.wait()
    say("closed")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(main(sys.argv[2], msgspec.json.decode(sys.argv[3], type=GoServerOptions)))
