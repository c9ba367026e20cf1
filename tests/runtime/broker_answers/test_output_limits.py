"""Results and progress that are too large are refused where they are made; other output of the batch is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from asynqio import App, TaskState, current
from asynqio.brokers.contract.results import Output
from asynqio.errors import CannotStore, ProgressTooLarge, ResultTooLarge
from asynqio.runtime.attempts import context
from asynqio.runtime.attempts.output_writer import OutputWriter
from asynqio.testing import Flaky
from tests.builders import entry
from tests.conformance.helpers import get_task, put, take
from tests.runtime.waiting import state_of, within


def report_too_much() -> str:
    """Runs in each lane."""
    current().report_progress({"done": 1})
    try:
        current().report_progress("x" * context.MAX_PROGRESS)
    except ProgressTooLarge as error:
        return str(error)
    return "it was accepted"


async def report_too_much_async() -> str:
    return report_too_much()


@pytest.mark.parametrize("lane", ["async", "thread", "process"])
async def test_progress_that_is_too_large_is_refused_where_it_is_made(app: App, lane: str) -> None:
    if lane == "async":
        task = app.task("report", retention=60)(report_too_much_async)
        handle = None
        async with app.running():
            handle = await task.enqueue()
            answer = await within(handle.result())
    else:
        sync = app.task("report", retention=60, run_in=lane)(report_too_much)  # type: ignore[call-overload]
        async with app.running(processes=1):
            handle = await sync.enqueue()
            answer = await within(handle.result())
    assert answer == (
        "the progress of task 'report' has 65,538 bytes, the limit is 65,536: "
        "report a number or a short text, and write data with write_result"
    )
    assert (await handle.refresh()).progress == b'{"done":1}'


async def test_a_return_value_that_is_too_large_archives_the_task_after_one_run(app: App) -> None:
    runs: list[int] = []

    @app.task("large", retention=60)
    async def large() -> bytes:
        runs.append(1)
        return bytes(context.MAX_RESULT + 1)

    async with app.running():
        handle = await large.enqueue()
        ended = await state_of(app, handle.info, TaskState.ARCHIVED)
    assert runs == [1]
    assert ended.last_error.startswith(
        "the result of task 'large' has 33,554,433 bytes, the limit is 33,554,432"
    )


async def test_write_result_refuses_what_is_too_large_in_the_handler(app: App) -> None:
    @app.task("large", retention=60)
    async def large() -> str:
        with pytest.raises(ResultTooLarge):
            current().write_result(bytes(context.MAX_RESULT + 1))
        return "small"

    async with app.running():
        assert await within((await large.enqueue()).result()) == "small"


async def test_an_output_that_cannot_be_stored_does_not_stop_its_neighbours(app: App) -> None:
    class Rejecting(Flaky):
        async def _call(self, name: str, method: Any, *args: Any, **kwargs: Any) -> Any:
            if name == "write_output":
                outputs: Sequence[Output] = args[0]
                if any(output.result == b"large" for output in outputs):
                    raise CannotStore("too large")
            return await super()._call(name, method, *args, **kwargs)

    await put(app.broker, *map(entry, "abc"))
    one, two, three = await take(app.broker, 3)
    writer = OutputWriter(Rejecting(app.broker).broker)
    stored, rejected, also_stored = (
        writer.add(Output(held, result=data))
        for held, data in ((one, b"small"), (two, b"large"), (three, b"also small"))
    )
    assert await within(_answer(stored))
    with pytest.raises(CannotStore):
        await within(_answer(rejected))
    assert await within(_answer(also_stored))
    assert [(await get_task(app.broker, id)).result for id in "abc"] == [b"small", None, b"also small"]


async def _answer(write: Any) -> bool:
    return bool(await write)
