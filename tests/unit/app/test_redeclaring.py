"""Declaring the same function again replaces it: a cell of a notebook that runs again, a module that is reloaded."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asynqio import App, ConfigError, Task

CELL = """
@app.cron({spec!r})
@app.task("work", max_retry={number})
async def work() -> None:
    ran.append({number})
"""


def run_cell(app: App, ran: list[int], *, number: int, spec: str = "@hourly") -> None:
    exec(CELL.format(number=number, spec=spec), {"app": app, "ran": ran, "__name__": "cell"})


async def test_the_last_declaration_counts() -> None:
    app, ran = App("memory://"), list[int]()
    run_cell(app, ran, number=1)
    app.mux.route("work")  # a server has looked it up already
    run_cell(app, ran, number=2)
    assert app.tasks["work"].options == {"max_retry": 2}
    await app.tasks["work"].enqueue()
    await app.testing.run_all()
    assert ran == [2]


def test_its_schedules_are_replaced_too() -> None:
    app = App("memory://")

    @app.cron("@yearly")
    @app.task("other")
    def other() -> None: ...

    run_cell(app, [], number=1, spec="@hourly")
    run_cell(app, [], number=1, spec="@hourly")
    run_cell(app, [], number=1, spec="@daily")
    assert [(entry.spec, entry.task.type) for entry in app.schedules] == [
        ("@yearly", "other"),
        ("@daily", "work"),
    ]


def test_another_function_of_the_same_type_is_an_error() -> None:
    app = App("memory://")

    @app.task("work")
    def one() -> None: ...

    with pytest.raises(ConfigError, match=r"'work' is declared twice, by .*\.one and .*\.two: give one"):

        @app.task("work")
        def two() -> None: ...

    with pytest.raises(ConfigError, match="declared twice"):
        app.task("work")(lambda: None)
    assert app.tasks["work"].function is one.function


def test_two_lambdas_are_two_functions() -> None:
    app = App("memory://")
    app.task("work")(lambda: 1)
    with pytest.raises(ConfigError, match="declared twice"):
        app.task("work")(lambda: 2)


def test_a_handler_of_the_mux_is_not_replaced() -> None:
    app = App("memory://")
    app.mux.handle("work", lambda task: None)
    with pytest.raises(ConfigError, match="there is a handler for 'work' already"):
        app.task("work")(lambda: None)


def test_an_aggregate_function_is_replaced_too() -> None:
    app = App("memory://")

    def declare(grace: float) -> None:
        @app.aggregate("mail:", grace=grace)
        def merge(group: str, tasks: Sequence[Task]) -> Task:
            return tasks[0]

    declare(5)
    declare(9)
    assert app.aggregations["mail:"].grace == 9
    with pytest.raises(ConfigError, match="aggregate function for groups 'mail:' already"):

        @app.aggregate("mail:")
        def other(group: str, tasks: Sequence[Task]) -> Task:
            return tasks[0]
