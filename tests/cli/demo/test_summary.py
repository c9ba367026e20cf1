"""The summary of the demo: which tasks count as lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynqio import App, Inspector, RetryIn, SkipRetry, TaskFunction
from asynqio.cli.demo.ledger import ID_HEADER, Ledger
from asynqio.cli.demo.summary import summarize


async def put(app: App, ledger: Ledger, function: TaskFunction[[], Any, Any], **options: float) -> str:
    """Record and enqueue one task. Returns its id."""
    id = ledger.expect(function.type, "default", prompt=not options)
    await function.with_options(task_id=id, headers={ID_HEADER: id}, **options).enqueue()  # type: ignore[arg-type]
    return id


def make() -> tuple[App, Ledger]:
    app, ledger = App("memory://"), Ledger()
    app.middleware(ledger.observe)
    app.on_error(ledger.failed)
    return app, ledger


async def test_every_task_is_accounted_for() -> None:
    app, ledger = make()

    @app.task("good")
    async def good() -> None: ...

    @app.task("bad")
    async def bad() -> None:
        raise SkipRetry("hopeless")

    @app.task("busy")
    async def busy() -> None:
        raise RetryIn(60)

    async with app:
        for function in (good, bad, busy):
            await put(app, ledger, function)
        await put(app, ledger, good, process_in=60)
        async with app.server(concurrency=1).running(app.mux):
            last = await good.with_options(retention=60).enqueue()
            await last.result(timeout=20)
        summary = await summarize(ledger, Inspector(app.broker))
    assert summary.problems == []
    assert "enqueued 4 = done 1 + merged 0 + archived 1 + waiting 2 + lost 0" in summary.line
    assert [event.kind for event in ledger.events] == ["archived", "deferred"]


async def test_a_deleted_task_is_lost() -> None:
    app, ledger = make()

    @app.task("good")
    async def good() -> None: ...

    async with app:
        id = await put(app, ledger, good)
        await Inspector(app.broker).delete(id)
        summary = await summarize(ledger, Inspector(app.broker))
    assert summary.problems == [f"lost: good {id}"]
    assert "lost 1" in summary.line


async def test_a_task_whose_enqueueing_was_interrupted_is_not_lost() -> None:
    app, ledger = make()
    id = ledger.expect("good", "default")
    with pytest.raises(asyncio.CancelledError), ledger.enqueueing(id):
        raise asyncio.CancelledError
    async with app:
        summary = await summarize(ledger, Inspector(app.broker))
    assert summary.problems == []
    assert "enqueued 0 = " in summary.line


async def test_internal_errors_are_problems() -> None:
    app, ledger = make()
    ledger.unexpected += ["forwarder: boom", "forwarder: boom"]
    async with app:
        summary = await summarize(ledger, Inspector(app.broker))
    assert summary.problems == ["unexpected: forwarder: boom"]
