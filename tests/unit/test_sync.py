"""The blocking names, where they must not block."""

from __future__ import annotations

import asyncio

import pytest

from asynqio import Action, App, Applied, Filter, Task, TaskState
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
