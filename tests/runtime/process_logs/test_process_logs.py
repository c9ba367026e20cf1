"""What handlers log in task processes arrives in the logging setup of the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from asynqio import App, Mux, Server, Task
from tests.log_tasks import FIELDS, Kept
from tests.runtime.process_logs import handlers
from tests.runtime.waiting import within


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A handler that the application added in the worker, without any other setup."""
    root, kept = logging.getLogger(), Kept()
    before = root.level
    root.addHandler(kept)
    root.setLevel(logging.INFO)
    logging.getLogger("shop.quiet").setLevel(logging.ERROR)
    yield kept
    root.setLevel(before)
    logging.getLogger("shop.quiet").setLevel(logging.NOTSET)
    root.removeHandler(kept)


class Performed(NamedTuple):
    """How a task ended that ran in a task process."""

    id: str
    result: Any
    #: The lines that are kept with its attempt.
    lines: list[str]


async def perform(handler: Callable[[Task], Any], **options: Any) -> Performed:
    mux = Mux()
    mux.handle("process", handler, run_in="process")
    async with App("memory://") as app, Server(app.broker, processes=1, **options).running(mux):
        info = await app.enqueue(Task("process", retention=60))
        result = await within(app.result(info.id))
        [attempt] = await app.inspector.attempts(info.id)
        return Performed(info.id, result, [line.text for line in attempt.log])


def of_shop(kept: Kept) -> list[logging.LogRecord]:
    return [record for record in kept.records if record.name.startswith("shop")]


async def test_records_arrive_with_level_time_process_and_task(kept: Kept) -> None:
    id, pid, _ = await perform(handlers.log_at_all_levels)
    records = of_shop(kept)
    assert [(one.levelname, one.getMessage()) for one in records] == [
        ("INFO", "level INFO"),
        ("WARNING", "level WARNING"),
    ]
    assert [[getattr(one, field) for field in FIELDS] for one in records] == [
        [id, "process", "default", 1]
    ] * 2
    assert {one.process for one in records} == {pid}
    assert records[0].created <= records[1].created


async def test_exceptions_extra_fields_and_other_threads_arrive(kept: Kept) -> None:
    await perform(handlers.log_anything)
    failed, thread = of_shop(kept)
    assert failed.getMessage() == "failed {'a': 1}"
    assert failed.exc_text is not None
    assert failed.exc_text.endswith("KeyError: 'boxes'")
    assert failed.stack_info is not None
    assert (failed.__dict__["boxes"], failed.__dict__["lock"][:9]) == (3, "<unlocked")
    assert (thread.getMessage(), thread.threadName) != ("", "MainThread")


async def test_a_process_with_its_own_handlers_writes_its_records_itself(kept: Kept) -> None:
    assert (await perform(handlers.log_after_own_setup)).result is True
    assert of_shop(kept) == []


def test_a_process_that_a_handler_forked_does_not_use_the_pipe(
    kept: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    assert asyncio.run(perform(handlers.log_in_a_fork)).result == 0
    assert of_shop(kept) == []
    assert "from a fork" in capfd.readouterr().err


async def test_no_record_is_lost_when_a_handler_logs_faster_than_they_are_handled(kept: Kept) -> None:
    await perform(handlers.log_much)
    assert [one.getMessage().split()[1] for one in of_shop(kept)] == [str(number) for number in range(5_000)]


async def test_a_logging_handler_that_raises_costs_nothing(kept: Kept) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        if record.name == "shop":
            raise ZeroDivisionError
        return True

    kept.addFilter(refuse)
    assert (await perform(handlers.log_at_all_levels)).result
    kept.removeFilter(refuse)


async def test_captured_lines_are_kept_with_the_attempt_as_well(kept: Kept) -> None:
    done = await perform(handlers.log_at_all_levels, capture_logs=True)
    assert len(of_shop(kept)) == 2
    assert done.lines == ["shop: level INFO", "shop: level WARNING"]
