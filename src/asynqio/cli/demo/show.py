"""Runs the demo: a worker server, the traffic and the display, and at the end the account."""

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
from asynqio.cli.demo.account import settle
from asynqio.cli.demo.ledger import ID_HEADER, Ledger
from asynqio.cli.demo.plain import Plain
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
    """Until the time is over or Ctrl-C; the exit status: 0 when nothing was lost and nothing unexpected
    happened. Raises AsynqioError when the broker does not work."""
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
            await _be_alone(inspector)
            async with app.server(config=CONFIG).running(app.mux):
                ledger.began = asyncio.get_running_loop().time()
                await _play(ledger, inspector, stop, seconds, broker)
            account = await settle(ledger, inspector)
    print(account.line)
    for problem in account.problems:
        print(f"asynqio demo: {problem}", file=sys.stderr)
    return 1 if account.problems else 0


async def _play(
    ledger: Ledger, inspector: Inspector, stop: asyncio.Event, seconds: float | None, broker: str
) -> None:
    """Traffic and display until the end."""
    traffic = asyncio.create_task(Traffic(ledger, Random()).run())
    display = asyncio.create_task(_display(broker, seconds).run(ledger, inspector))
    stopping = asyncio.create_task(stop.wait())
    running: list[asyncio.Task[object]] = [traffic, display, stopping]
    try:
        await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in running:
            task.cancel()
        ends = await asyncio.gather(*running, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseExceptionGroup):
            raise end.exceptions[0]
        if isinstance(end, Exception):
            raise end


def _display(broker: str, seconds: float | None) -> Plain:
    """Live tables on a terminal, else a line now and then."""
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return Plain()
    from asynqio.cli.demo.screen import Screen

    return Screen(broker, seconds)


async def _be_alone(inspector: Inspector) -> None:
    """The account would not be ours if another demo worked on the same queues. Raises ConfigError."""
    for card in await inspector.servers():
        if tasks.QUEUES.keys() & card.queues.keys():
            other = f"process {card.pid} on {card.host}"
            raise ConfigError(
                [f"another demo works on this broker ({other}): end it, or name another --broker"]
            )


class _ToLedger(logging.Handler):
    """Log records would tear the display apart: they become events, and errors are counted."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(logging.WARNING)
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", "").startswith("task_"):
            return  # ends of attempts are events of the ledger already
        if record.levelno >= logging.ERROR:
            self._ledger.unexpected.append(f"{record.name}: {record.getMessage()}")
            self._ledger.note("error", record.getMessage())
        else:
            self._ledger.note("warning", record.getMessage())


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
    """An event that INT and TERM set. The end takes some seconds at most, so nobody needs to hurry."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
