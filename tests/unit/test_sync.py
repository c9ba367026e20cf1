"""The blocking names, where they must not block."""

from __future__ import annotations

import asyncio

import pytest

from asynqio import (
    Action,
    App,
    Applied,
    CancelOutcome,
    ConfigError,
    Filter,
    ResultNotKept,
    ResultTimeout,
    Task,
    TaskNotFound,
    TaskState,
)
from asynqio.sync import Client, Inspector


def in_a_loop(call: object) -> None:
    async def run() -> None:
        assert callable(call)
        call()

    asyncio.run(run())


def test_a_call_on_a_thread_with_a_loop_says_what_to_do() -> None:
    with Client("memory://") as client, pytest.raises(RuntimeError, match="use the async interface"):
        in_a_loop(lambda: client.enqueue(Task("a")))


def test_the_first_call_says_so_too() -> None:
    app = App("memory://")

    @app.task("a")
    def a() -> None: ...

    with pytest.raises(RuntimeError, match="use the async interface"):
        in_a_loop(a.enqueue_sync)
    assert a.enqueue_sync().info.type == "a", "and the next one, without a loop, works"
    app.sync.close()


def test_a_closed_client_says_so() -> None:
    client = Client("memory://")
    with client:
        client.enqueue(Task("a"))
    with pytest.raises(RuntimeError, match="not open"):
        client.enqueue(Task("a"))
    client.close()


def test_searching_without_a_loop() -> None:
    with Client("memory://searched") as client, Inspector("memory://searched") as inspector:
        client.enqueue_many([Task.json("a", {"n": number}) for number in range(450)])
        found = list(inspector.search("default", TaskState.PENDING, Filter(payload={"n": 7})))
        assert [info.load() for info in found] == [{"n": 7}]
        some = inspector.search("default", TaskState.PENDING)
        next(some)
        some.close()
        reported: list[Applied] = []
        applied = inspector.apply(Action.DELETE, "default", TaskState.PENDING, on_progress=reported.append)
        assert applied == reported[-1] == Applied(450, 450, 450)


def test_a_broker_is_not_changed_under_a_blocking_client() -> None:
    app = App("memory://")
    app.use_broker("memory://other")
    app.sync.enqueue(Task("a"))
    with pytest.raises(ConfigError, match="in use already"):
        app.use_broker("memory://")
    app.sync.close()


def test_a_handle_without_an_event_loop() -> None:
    app = App("memory://", retention=60)

    @app.task("a", queue="low")
    def a(x: int) -> int:
        return x

    handle = a.enqueue_sync(1)
    assert (handle.queue, handle.state, handle.info.load()) == ("low", TaskState.PENDING, {"x": 1})
    assert handle.ref == handle.info.ref
    with pytest.raises(ResultTimeout):
        handle.result(timeout=0.01)
    with pytest.raises(ResultTimeout):
        handle.wait(timeout=0.01)
    assert handle.refresh().ref == app.sync.find(handle).ref == handle.ref
    assert handle.cancel() is CancelOutcome.DELETED
    with pytest.raises(TaskNotFound):
        handle.cancel(final=True)
    without = a.with_options(retention=0).enqueue_sync(2)
    with pytest.raises(ResultNotKept):
        without.result()
    with pytest.raises(ResultNotKept):
        without.wait()
    app.sync.close()
