"""Whatever the broker answers to `settle`: each task runs once, and its end is stored or says why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from asynqio import App, BrokerUnavailable, Mux, Server, Task, TaskState
from asynqio.core.lifecycle import Settlement
from asynqio.errors import BrokerError, BrokerRefused, CannotStore, ConfigError, StorageFull
from asynqio.runtime.attempts.settler import Settler
from asynqio.testing import Flaky
from tests.builders import entry, failed, settlement
from tests.conformance.helpers import put, take
from tests.runtime.waiting import state_of, within

ANSWERS = [
    BrokerUnavailable("away"),
    StorageFull("maxmemory"),
    BrokerRefused("NOPERM"),
    BrokerError("max daily request limit exceeded"),
    ConfigError(["the file is read-only"]),
    KeyError("unknown"),
]


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: type(error).__name__)
async def test_an_end_survives_every_answer(app: App, error: Exception) -> None:
    flaky = Flaky(app.broker)
    runs: list[bytes | None] = []

    async def handler(task: Task) -> str:
        runs.append(task.payload)
        return "done"

    mux = Mux()
    mux.handle("work", handler)
    flaky.fail(4 if isinstance(error, BrokerUnavailable) else 12, "settle", error=error)
    tasks = [Task("work", str(number).encode(), retention=60) for number in range(5)]
    infos = [await app.enqueue(task) for task in tasks]
    # The lease is shorter than the time for which the broker refuses: it is renewed meanwhile.
    async with Server(flaky.broker, lease=1).running(mux) as server:
        for info in infos:
            ended = await state_of(app, info, TaskState.COMPLETED, TaskState.ARCHIVED)
            assert (ended.state, ended.result, ended.crashes, ended.retried) == (
                TaskState.COMPLETED,
                b'"done"',
                0,
                0,
            )
        assert server.info().refused == 0
    assert len(runs) == 5
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (5, 0)


@pytest.mark.parametrize(
    "error", [CannotStore("too large"), OverflowError("infinity")], ids=lambda error: type(error).__name__
)
async def test_what_can_never_be_stored_is_archived_after_one_run(app: App, error: Exception) -> None:
    class Rejecting(Flaky):
        """A store that cannot hold the result of one task."""

        async def _call(self, name: str, method: Any, *args: Any, **kwargs: Any) -> Any:
            if name == "settle":
                settlements: Sequence[Settlement] = args[0]
                if any(one.result == b'"large"' for one in settlements):
                    raise error
            return await super()._call(name, method, *args, **kwargs)

    runs: list[bytes | None] = []

    async def handler(task: Task) -> str:
        runs.append(task.payload)
        return (task.payload or b"").decode()

    mux = Mux()
    mux.handle("work", handler)
    large = await app.enqueue(Task("work", b"large", retention=60))
    small = [await app.enqueue(Task("work", b"small", retention=60)) for _ in range(5)]
    async with Server(Rejecting(app.broker).broker, lease=1).running(mux):
        ended = await state_of(app, large, TaskState.ARCHIVED)
        assert str(error) in ended.last_error
        assert ended.crashes == 0
        for info in small:
            await state_of(app, info, TaskState.COMPLETED)
    assert len(runs) == 6


async def test_a_settlement_that_cannot_be_encoded_does_not_stop_its_neighbours(app: App) -> None:
    # A delay of infinity is no time of Redis; another store may accept it.
    await put(app.broker, *map(entry, "abc"))
    one, two, three = await take(app.broker, 3)
    now = app.broker.clock.now()
    wrong = Settlement(two, TaskState.RETRY, two.message, float("inf"), processed=True, failed=True)
    settler = Settler(app.broker, high_water=100)
    settler.start()
    for each in (settlement(one, now=now), wrong, failed(three, now)):
        settler.add(each)
    await within(settler.drain())
    await within(settler.stop(5.0))
    assert settler.outstanding() == []
    found = await app.broker.find([held.message.ref for held in (one, two, three)])
    assert found[0] is None
    assert found[1] is not None
    assert found[1].state in (TaskState.RETRY, TaskState.ARCHIVED)
    if found[1].state is TaskState.ARCHIVED:
        assert "infinity" in found[1].last_error
    assert found[2] is not None
    assert found[2].state is TaskState.RETRY
    assert settler.refused == 0
