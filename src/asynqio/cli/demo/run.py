"""Runs the demo: a worker server, the traffic, the display, and the summary at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from random import Random

from asynqio import ConfigError, Inspector, ServerConfig, Task
from asynqio.cli.demo import tasks
from asynqio.cli.demo.display import Display
from asynqio.cli.demo.ledger import ID_HEADER, Ledger
from asynqio.cli.demo.line_display import LineDisplay
from asynqio.cli.demo.summary import summarize
from asynqio.cli.demo.traffic import Traffic

CONFIG = ServerConfig(
    concurrency=50,
    queues=tasks.QUEUES,
    processes=min(4, os.cpu_count() or 1),
    shutdown_timeout=3.0,
    group_grace=2.0,
    group_max_delay=5.0,
    group_max_size=25,
)


def run(broker: str, seconds: float | None) -> int:
    """Run for `seconds`, or until Ctrl-C. Returns the exit status: 0 if no task was lost and no internal error
    occurred. Raises AsynqioError if the broker does not work."""
    return asyncio.run(_run(broker, seconds))


async def _run(broker: str, seconds: float | None) -> int:
    ledger, app = Ledger(), tasks.app
    app.use_broker(broker)
    app.middleware(ledger.observe)
    app.on_error(ledger.failed)

    async def digest(group: str, news: Sequence[Task]) -> Task:
        id = ledger.merge(news, tasks.send_digest.type, tasks.LOW)
        return tasks.make_digest(news, task_id=id, headers={ID_HEADER: id})

    app.aggregate(digest)
    with _logging_to(ledger), _signals() as stop:
        async with app:
            inspector = Inspector(app.broker)
            await _ensure_exclusive(inspector)
            async with app.server(config=CONFIG).running(app.mux):
                ledger.began = asyncio.get_running_loop().time()
                await _run_until(ledger, inspector, stop, seconds, broker)
            summary = await summarize(ledger, inspector)
    print(summary.line)
    for problem in summary.problems:
        print(f"asynqio demo: {problem}", file=sys.stderr)
    return 1 if summary.problems else 0


async def _run_until(
    ledger: Ledger, inspector: Inspector, stop: asyncio.Event, seconds: float | None, broker: str
) -> None:
    """Run the traffic and the display until the end."""
    traffic = asyncio.create_task(Traffic(ledger, Random()).run())
    display = asyncio.create_task(_display(broker, seconds).run(ledger, inspector))
    stopping = asyncio.create_task(stop.wait())
    running: list[asyncio.Task[object]] = [traffic, display, stopping]
    try:
        await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in running:
            task.cancel()
        results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseExceptionGroup):
            raise result.exceptions[0]
        if isinstance(result, Exception):
            raise result


def _display(broker: str, seconds: float | None) -> Display:
    """Live tables on a terminal, else one line every two seconds."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return LineDisplay()
    from asynqio.cli.demo.live_display import LiveDisplay

    return LiveDisplay(broker, seconds)


async def _ensure_exclusive(inspector: Inspector) -> None:
    """Raises ConfigError if another demo serves the same queues: the summary would count its tasks."""
    for server in await inspector.servers():
        if tasks.QUEUES.keys() & server.queues.keys():
            other = f"process {server.pid} on {server.host}"
            raise ConfigError(
                [f"another demo uses this broker ({other}); stop it or choose another --broker"]
            )


class _ToLedger(logging.Handler):
    """Turns log records into events, because printing them would break the display. Errors count as problems."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(logging.WARNING)
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", "").startswith("task_"):
            return  # the ledger adds the ends of attempts itself
        if record.levelno >= logging.ERROR:
            self._ledger.unexpected.append(f"{record.name}: {record.getMessage()}")
            self._ledger.add_event("error", record.getMessage())
        else:
            self._ledger.add_event("warning", record.getMessage())


@contextlib.contextmanager
def _logging_to(ledger: Ledger) -> Iterator[None]:
    handler = _ToLedger(ledger)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """An event that INT and TERM set."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
