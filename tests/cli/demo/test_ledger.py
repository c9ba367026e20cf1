"""The demo's account: what it calls lost, and what it lets pass."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asynqio import App, Inspector, RetryIn, SkipRetry, TaskFunction
from asynqio.cli.demo.account import settle
from asynqio.cli.demo.ledger import ID_HEADER, Ledger


async def put(app: App, ledger: Ledger, function: TaskFunction[[], Any, Any], **options: float) -> str:
    """Enqueue one task by the book; its id."""
    id = ledger.expect(function.type, "default", prompt=not options)
    await function.with_options(task_id=id, headers={ID_HEADER: id}, **options).enqueue()  # type: ignore[arg-type]
    return id


def make() -> tuple[App, Ledger]:
    app, ledger = App("memory://"), Ledger()
    app.middleware(ledger.observe)
    app.on_error(ledger.failed)
    return app, ledger


async def test_every_fate_has_its_place() -> None:
    app, ledger = make()

    @app.task("good")
    async def good() -> None: ...

    @app.task("bad")
    async def bad() -> None:
        raise SkipRetry("no use")

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
        account = await settle(ledger, Inspector(app.broker))
    assert account.problems == []
    assert "enqueued 4 = done 1 + merged 0 + archived 1 + waiting 2 + lost 0" in account.line
    assert [event.kind for event in ledger.events] == ["archived", "postponed"]


async def test_a_task_that_is_gone_is_lost() -> None:
    app, ledger = make()

    @app.task("good")
    async def good() -> None: ...

    async with app:
        id = await put(app, ledger, good)
        await Inspector(app.broker).delete(id)
        account = await settle(ledger, Inspector(app.broker))
    assert account.problems == [f"lost: good {id}"]
    assert "lost 1" in account.line


async def test_a_task_whose_enqueueing_was_cut_short_is_not_lost() -> None:
    app, ledger = make()
    id = ledger.expect("good", "default")
    with pytest.raises(asyncio.CancelledError), ledger.asking(id):
        raise asyncio.CancelledError
    async with app:
        account = await settle(ledger, Inspector(app.broker))
    assert account.problems == []
    assert "enqueued 0 = " in account.line


async def test_errors_of_the_machinery_are_problems() -> None:
    app, ledger = make()
    ledger.unexpected += ["forwarder: boom", "forwarder: boom"]
    async with app:
        account = await settle(ledger, Inspector(app.broker))
    assert account.problems == ["unexpected: forwarder: boom"]
