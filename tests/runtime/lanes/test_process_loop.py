"""The event loop of a task process: all async handlers of the process share it."""

from __future__ import annotations

from asynqio import App, TaskState
from tests.runtime.lanes import process_tasks
from tests.runtime.waiting import state_of, within


async def test_a_module_level_async_client_works_for_every_task_of_a_process(app: App) -> None:
    app.process_initializer(process_tasks.open_client)
    ask = app.task("ask", run_in="process", max_retry=0, retention=60)(process_tasks.ask)
    async with app.server(processes=1).running(app.mux):
        answers = [await within((await ask.enqueue()).result()) for _ in range(4)]
    assert answers == [2, 3, 4, 5], "the initializer asked first"


async def test_the_context_of_a_task_ends_with_it() -> None:
    async with App("memory://") as app:
        leave = app.task("leave", run_in="process", retention=60)(process_tasks.leave_context)
        async with app.server(processes=1).running(app.mux):
            for text in ("first", "second"):
                assert await within((await leave.enqueue(text)).result()) == "nothing"


async def test_an_exit_in_a_child_task_fails_its_own_task_only() -> None:
    async with App("memory://") as app:
        exits = app.task("exit", run_in="process", max_retry=0)(process_tasks.exit_in_a_child_task)
        show = app.task("show", run_in="process", retention=60)(process_tasks.show_ended)
        ask = app.task("ask", run_in="process", retention=60)(process_tasks.ask)
        async with app.server(processes=1).running(app.mux):
            assert await within((await ask.enqueue()).result()) == 1
            info = await state_of(app, (await exits.enqueue()).info, TaskState.ARCHIVED)
            assert "SystemExit" in info.last_error
            assert await within((await show.enqueue()).result()) == ["handler"], "it does not go on later"
            assert await within((await ask.enqueue()).result()) == 2, "the client still works"
