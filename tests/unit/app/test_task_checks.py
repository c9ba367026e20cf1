"""`App.check_tasks` says what keeps a server from running the tasks of an app."""

from __future__ import annotations

from asynqio import App, Finding, Severity, Task


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.queue) for finding in findings]


def test_an_app_without_handlers() -> None:
    [finding] = App("memory://").check_tasks({"default": 1})
    assert (finding.code, finding.severity) == ("no-handlers", Severity.WARNING)
    assert "app.include(" in finding.advice


def test_tasks_of_queues_that_are_not_served() -> None:
    app = App("memory://", queue="mail")

    @app.task("a", queue="critical")
    def a() -> None: ...

    @app.task("b")
    def b() -> None: ...

    @app.cron("@hourly", queue="reports")
    @app.task("c", queue="default")
    def c() -> None: ...

    assert codes(app.check_tasks(["critical", "mail", "default", "reports"])) == []
    assert codes(app.check_tasks(["default"])) == [
        ("queue-not-served", "critical"),
        ("queue-not-served", "mail"),
        ("queue-not-served", "reports"),
    ]
    [finding] = app.check_tasks(["critical", "default", "reports"])
    assert finding.sentence == "tasks of this app go to queue 'mail', which this server does not serve: 'b'"
    assert "--queues mail" in finding.advice


def test_a_handler_of_the_mux_is_a_handler() -> None:
    app = App("memory://")

    @app.mux.handle("raw")
    def raw(task: Task) -> None: ...

    assert app.check_tasks(["default"]) == []
