"""An error of a task process is the error of its handler: hooks and policies see its class, its text, its causes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asynqio import App, FixedRetry, RetryByException, SkipRetry, Task, TaskState
from asynqio.core.lifecycle import error_text
from asynqio.runtime.lanes.raised import MAX_CAUSES, MAX_TRACE, Raised, RemoteError
from tests.runtime.lanes import error_tasks
from tests.runtime.lanes.error_tasks import ERRORS, RAISES, ShopError
from tests.runtime.waiting import state_of

#: The text of each error.
TEXTS = {
    "TwoArguments": "7: odd",
    "OneArgument": "code 7",
    "Frozen": "code 7",
    "NoAttributes": "seven",
    "HoldsLock": "code 7",
    "HoldsLockInArguments": "broken lock",
    "NoText": "(str() of the error raised ValueError)",
    "cycle": "first",
    "long_chain": "number 4999",
    "context_chain": "number 4999",
}


def raised_by(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def causes_of(error: BaseException) -> list[BaseException]:
    found = [error]
    while (cause := found[-1].__cause__) is not None:
        found.append(cause)
    return found


def carried(error: BaseException) -> BaseException:
    return Raised.of(error).restore(42)


@pytest.mark.parametrize("how", ERRORS)
def test_class_text_cause_and_traceback_survive(how: str) -> None:
    error = raised_by(lambda: error_tasks.fail(how, with_cause=True))
    there = carried(error)
    assert isinstance(there, ShopError)
    assert type(there).__name__ == how
    assert repr(there.__cause__) == "ValueError('the cause')"
    [note] = there.__notes__
    assert note.startswith("in process 42:\n")
    assert "in fail" in note
    if how in TEXTS and how != "NoText":
        assert str(there) == TEXTS[how]


def test_what_can_be_pickled_of_an_error_survives() -> None:
    lock = carried(raised_by(lambda: error_tasks.fail("HoldsLock")))
    assert type(lock) is error_tasks.HoldsLock
    assert (lock.code, hasattr(lock, "lock"), lock.args) == (7, False, ("code 7",))
    two = carried(error_tasks.TwoArguments(7, "odd"))
    assert type(two) is error_tasks.TwoArguments
    assert (two.code, two.args) == (7, ("7: odd",))
    one = carried(error_tasks.OneArgument(7))
    assert (str(one), type(one)) == ("code 7", error_tasks.OneArgument)
    frozen = carried(error_tasks.Frozen(7))
    assert frozen == error_tasks.Frozen(7)


def test_a_class_that_the_server_does_not_have_keeps_its_name_and_the_bases_it_has() -> None:
    error = carried(raised_by(error_tasks.local))
    assert isinstance(error, RemoteError)
    assert isinstance(error, error_tasks.TwoArguments)
    assert isinstance(error, KeyError)
    assert type(error).__name__ == "Local"
    assert str(error) == str(raised_by(error_tasks.local))
    again = carried(raised_by(error_tasks.local))
    assert type(again) is type(error), "one class for all of them"
    assert isinstance(carried(raised_by(error_tasks.locals_directive)), SkipRetry)
    held = carried(error_tasks.HoldsLockInArguments())
    assert isinstance(held, LookupError)
    assert isinstance(held, ShopError)
    assert isinstance(carried(error_tasks.HoldsLock(7)), error_tasks.Mixin)


def test_the_exceptions_of_a_group_survive() -> None:
    there = carried(raised_by(error_tasks.group))
    assert isinstance(there, ExceptionGroup)
    first, second = there.exceptions
    assert repr(first) == "ValueError('first')"
    assert isinstance(second, error_tasks.TwoArguments)


def test_a_cycle_of_causes_ends() -> None:
    error = carried(raised_by(error_tasks.cycle))
    assert [str(link) for link in causes_of(error)] == ["first", "second"]


@pytest.mark.parametrize("how", ["long_chain", "context_chain", "directive_at_the_end"])
def test_a_long_chain_is_cut(how: str) -> None:
    error = raised_by(RAISES[how])
    began = time.monotonic()
    raised = Raised.of(error)
    assert time.monotonic() - began < 2.0, "it formats and pickles what it carries only"
    there = raised.restore(42)
    assert len(causes_of(there)) <= MAX_CAUSES + 1
    assert len(raised.trace) <= MAX_TRACE + 1
    assert str(there) == "number 4999"
    assert "the last 20 of a chain of 5,001 exceptions" in raised.trace
    if how == "directive_at_the_end":
        assert repr(causes_of(there)[-1]) == "RetryIn('asked to run again in 3600 s')"


async def test_policies_and_hooks_see_the_errors_of_task_processes() -> None:
    seen: list[tuple[str, str]] = []
    judged: list[bool] = []

    def is_failure(error: BaseException) -> bool:
        judged.append(isinstance(error, ShopError))
        return True

    async with App("memory://", is_failure=is_failure) as app:

        @app.on_error
        def on_error(task: Task, error: BaseException, final: bool) -> None:
            seen.append((type(error).__name__, error_text(error)))

        by_class = RetryByException({ShopError: FixedRetry(3600)}, otherwise=FixedRetry(7200))
        fail = app.task("fail", run_in="process", max_retry=1, retry=by_class)(error_tasks.fail)
        async with app.server(processes=1).running(app.mux):
            for how in [*ERRORS, "local", "cycle", "long_chain", "context_chain"]:
                info = await state_of(app, (await fail.enqueue(how)).info, TaskState.RETRY)
                assert info.crashes == 0, how
                assert info.next_process_at - time.time() == pytest.approx(3600, abs=60), how
                name, text = seen[-1]
                assert name == (how if how in ERRORS else "Local" if how == "local" else "ShopError")
                assert info.last_error == text
                if how in TEXTS:
                    assert text == f"{name}: {TEXTS[how]}"
            deferred = await state_of(app, (await fail.enqueue("directive_at_the_end")).info, TaskState.RETRY)
            assert deferred.retried == 0
            await state_of(app, (await fail.enqueue("locals_directive")).info, TaskState.ARCHIVED)
    assert all(judged)


SCRIPT = """
import asyncio
from asynqio import App

app = App("memory://")

class Picklable(Exception): ...

class Unpicklable(Exception):
    def __init__(self, code, reason):
        super().__init__(reason)

@app.task("fail", run_in="process", max_retry=0)
def fail(code):
    raise Picklable("one") if code else Unpicklable(2, "two")

async def main():
    seen = asyncio.Queue()

    @app.on_error
    async def on_error(task, error, final):
        print(type(error).__name__, isinstance(error, Picklable | Unpicklable), error)
        seen.put_nowait(error)

    async with app, app.running(processes=1):
        for code in (1, 0):
            await fail.enqueue(code)
            await asyncio.wait_for(seen.get(), 15)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_the_script_of_the_server_can_define_the_class(tmp_path: Path) -> None:
    """Task processes know the main module of their server by another name."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, timeout=60, check=True, text=True)
    assert done.stdout.splitlines() == ["Picklable True one", "Unpicklable True two"]
