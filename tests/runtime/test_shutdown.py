"""The end of a server: it always comes, wholly and once, whatever is cancelled or fails meanwhile."""

from __future__ import annotations

import asyncio
import threading
from random import Random
from typing import Any

import pytest

from asynqio import App, Scheduler, TaskState
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.duties.sweeper import Sweeper
from asynqio.runtime.fetching.fetcher import Fetcher
from asynqio.runtime.lanes.processes import ProcessPool
from asynqio.runtime.service import Loop, Service
from tests.runtime.waiting import within


def left_behind() -> list[str]:
    """Threads and asyncio tasks of a server. Those of the open broker are not among them."""
    threads = [thread.name for thread in threading.enumerate() if thread.name == "asynqio heartbeat"]
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    services = ("canceller", "fetcher", "forwarder", "paused", "recoverer", "settler", "sweeper", "end of")
    return threads + [name for name in tasks if name.startswith(tuple(f"asynqio {one}" for one in services))]


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 10, 30])
async def test_a_cancelled_shutdown_leaves_nothing_behind(app: App, turns: int) -> None:
    started = asyncio.Event()

    @app.task("endless")
    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    server = app.server(shutdown_timeout=60)
    await server.start(app.mux)
    handle = await endless.enqueue()
    await within(started.wait())
    shutdown = asyncio.create_task(server.shutdown())
    for _ in range(turns):
        await asyncio.sleep(0)
    shutdown.cancel()
    await within(asyncio.wait([shutdown]))
    assert shutdown.cancelled()
    assert left_behind() == []
    assert (await handle.refresh()).state is TaskState.PENDING
    assert await app.broker.servers() == []


async def test_a_timeout_around_a_running_server_ends_it(app: App) -> None:
    started, release = threading.Semaphore(0), threading.Event()

    @app.task("blocked")
    def blocked() -> None:
        started.release()
        release.wait(30)

    async def run() -> None:
        async with asyncio.timeout(None) as limit, app.running(shutdown_timeout=60):
            await within(asyncio.to_thread(started.acquire))
            limit.reschedule(0)

    handle = await blocked.enqueue()
    with pytest.raises(TimeoutError):
        await run()
    assert left_behind() == []
    assert (await handle.refresh()).state is TaskState.PENDING
    release.set()


@pytest.mark.parametrize(
    ("owner", "method"),
    [(Fetcher, "close"), (Sweeper, "close"), (Settler, "stop"), (ProcessPool, "close")],
    ids=["fetcher", "service", "settler", "processes"],
)
async def test_an_error_in_one_step_does_not_skip_the_others(
    app: App, owner: type, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = getattr(owner, method)

    async def fails(self: Any, *args: Any) -> None:
        await original(self, *args)
        raise OSError("refused by the test")

    monkeypatch.setattr(owner, method, fails)
    async with app.running():
        pass
    assert left_behind() == []
    assert await app.broker.servers() == []
    [record] = [record for record in caplog.records if getattr(record, "event", "") == "stop_failed"]
    assert "refused by the test" in record.getMessage()


async def test_no_task_begins_after_the_end(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """TSTP and then TERM, while a fetch is under way."""
    begun: list[str] = []
    fetched, answer = asyncio.Event(), asyncio.Event()

    @app.task("work", retention=60)
    async def work() -> None:
        begun.append("work")

    owner = type(app.broker)
    dequeue = owner.dequeue

    async def slow(self: Any, *args: Any, **options: Any) -> Any:
        leases = await dequeue(self, *args, **options)
        if leases:
            fetched.set()
            await answer.wait()
        return leases

    monkeypatch.setattr(owner, "dequeue", slow)
    server = app.server(shutdown_timeout=60)
    await server.start(app.mux)
    handle = await work.enqueue()
    await within(fetched.wait())
    stop = asyncio.create_task(server.stop())
    shutdown = asyncio.create_task(server.shutdown())
    again = asyncio.create_task(server.shutdown())
    await asyncio.wait([stop, shutdown, again], timeout=0.2)
    assert not stop.done()
    assert not shutdown.done()
    assert not again.done()
    answer.set()
    await within(asyncio.gather(stop, shutdown, again))
    assert begun == ["work"]
    assert (await handle.refresh()).state is TaskState.COMPLETED


class Slow(Service):
    """A service that takes its time to close."""

    def __init__(self) -> None:
        self.closing, self.close_now = asyncio.Event(), asyncio.Event()
        self.closed = 0

    async def once(self) -> float:
        return 60.0

    async def close(self) -> None:
        self.closing.set()
        await self.close_now.wait()
        self.closed += 1


async def test_all_who_stop_a_loop_wait_until_its_service_is_closed() -> None:
    service = Slow()
    loop = Loop(service, Random(0))
    await loop.start()
    first, second = asyncio.create_task(loop.stop()), asyncio.create_task(loop.stop())
    await within(service.closing.wait())
    third = asyncio.create_task(loop.stop())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert not second.done()
    assert not third.done()
    service.close_now.set()
    await within(asyncio.gather(second, third))
    assert service.closed == 1
    await within(loop.stop())


@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_a_cancelled_stop_ends_the_scheduler(url: str, turns: int) -> None:
    scheduler = Scheduler(url)
    await scheduler.start()
    stop = asyncio.create_task(scheduler.stop())
    for _ in range(turns):
        await asyncio.sleep(0)
    stop.cancel()
    await within(asyncio.wait([stop]))
    await within(scheduler.stop())
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("asynqio")] == []
