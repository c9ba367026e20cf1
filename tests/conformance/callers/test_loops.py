"""One App, Client, Inspector or broker works on every event loop and in every thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from asynqio import App, Client, Inspector, Task, TaskState
from asynqio.brokers import open_broker
from asynqio.sync import Client as SyncClient
from asynqio.sync import Inspector as SyncInspector
from tests.conformance.conftest import BROKERS, broker_url

T = TypeVar("T")

#: Seconds after which a wait fails: only a broken build gets there.
LIMIT = 30.0
THREADS = 8


@pytest.fixture(params=[*BROKERS, "remote"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store."""
    return broker_url(request.param, tmp_path)


@pytest.fixture
def app(url: str) -> Iterator[App]:
    """An app that no event loop has opened, with the tasks `parent` and `child`."""
    app = App(url, retention=60, max_retry=0)
    yield app
    app.sync.close()
    asyncio.run(app.close())


def in_threads(call: Callable[[], T], number: int = THREADS) -> list[T]:
    """Make the call in several threads at the same time, and return what they returned. Raises what they raised."""
    start = threading.Barrier(number)
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        start.wait()
        try:
            answers.append(call())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a call hangs"
    if errors:
        raise ExceptionGroup("in threads", [error for error in errors if isinstance(error, Exception)])
    return answers


async def within(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(LIMIT):
        return await awaitable


def pending(url: str, app: App) -> int:
    """The number of pending tasks, as another loop sees it."""

    async def count() -> int:
        async with app:
            return sum(queue.pending for queue in await app.inspector.queues())

    return asyncio.run(count())


def test_a_plain_handler_of_a_worker_enqueues(app: App) -> None:
    done: list[int] = []

    @app.task("child")
    async def child(number: int) -> None:
        done.append(number)

    @app.task("parent")
    def parent(number: int) -> str:
        return child.enqueue_sync(number).id

    async def main() -> None:
        async with app.running(shutdown_timeout=1):
            handles = [await parent.enqueue(number) for number in range(20)]
            for handle in handles:
                id = await within(handle.result())
                await within(app.wait(id))

    asyncio.run(main())
    assert sorted(done) == list(range(20))


def test_a_plain_handler_that_runs_its_own_event_loop_enqueues(app: App) -> None:
    @app.task("child")
    async def child() -> None: ...

    @app.task("parent")
    def parent() -> str:
        async def enqueue() -> str:
            return (await child.enqueue()).id

        return asyncio.run(enqueue())

    async def main() -> None:
        async with app.running(shutdown_timeout=1):
            for handle in [await parent.enqueue() for _ in range(5)]:
                await within(app.wait(await within(handle.result())))

    asyncio.run(main())


def test_event_loops_one_after_the_other(app: App, url: str) -> None:
    async def enqueue(text: str) -> None:
        await app.enqueue(Task.json("a", {"text": text}))

    async def open_and_enqueue(text: str) -> None:
        async with app:
            await enqueue(text)

    # Neither the end of a loop without `close`, nor `close`, makes the app unusable
    for work in (enqueue, enqueue, open_and_enqueue, enqueue, open_and_enqueue):
        asyncio.run(work("x"))
    assert pending(url, app) == 5


def test_event_loops_in_several_threads_at_the_same_time(app: App, url: str) -> None:
    async def enqueue(number: int) -> None:
        await app.enqueue(Task.json("a", {"n": number}))

    async def enqueue_some() -> None:
        await asyncio.gather(*map(enqueue, range(20)))

    async def open_and_enqueue() -> None:
        async with app:
            await enqueue_some()

    in_threads(lambda: asyncio.run(enqueue_some()))
    in_threads(lambda: asyncio.run(open_and_enqueue()))
    in_threads(lambda: asyncio.run(enqueue_some()))
    assert pending(url, app) == 3 * THREADS * 20


def test_an_event_loop_beside_blocking_calls(app: App) -> None:
    """A web application with a lifespan, whose plain endpoints run in threads."""

    @app.task("a")
    async def a() -> None: ...

    async def main() -> None:
        async with app:
            for _ in range(3):
                await a.enqueue()
                handle = await asyncio.to_thread(a.enqueue_sync)
                assert (await app.find(handle.id)).state is TaskState.PENDING
                found = await asyncio.to_thread(app.sync.find, await a.enqueue())
                assert found.state is TaskState.PENDING

    asyncio.run(main())
    a.enqueue_sync()


def test_an_event_loop_per_request_beside_one_that_stays(app: App, url: str) -> None:
    """A web application whose async views run on a new event loop each, in a thread."""

    @app.task("a")
    async def a() -> None: ...

    async def view() -> None:
        await a.enqueue()

    async def main() -> None:
        async with app:
            for _ in range(5):
                await asyncio.to_thread(asyncio.run, view())
                await a.enqueue()

    asyncio.run(main())
    assert pending(url, app) == 10


def test_first_calls_of_many_threads_at_the_same_time(app: App, url: str) -> None:
    @app.task("a")
    async def a() -> None: ...

    before = portals()
    in_threads(a.enqueue_sync)
    assert portals() - before <= 1, "one thread with an event loop serves all of them"
    assert pending(url, app) == THREADS


def test_all_blocking_objects_share_one_thread(url: str) -> None:
    before = portals()
    broker = open_broker(url)
    clients = [SyncClient(url).open() for _ in range(3)]
    inspectors = [SyncInspector(url).open() for _ in range(3)]
    assert portals() == max(before, 1)
    for opened in (*clients, *inspectors):
        opened.close()
    assert portals() == before, "the last one ends it"
    assert broker.url


def test_the_close_of_one_blocking_client_leaves_others_open(url: str) -> None:
    with SyncClient(url) as stays:
        with SyncClient(url) as goes:
            goes.enqueue(Task("a"))
        stays.enqueue(Task("a"))


def test_a_broker_of_the_user_works_on_other_loops(url: str) -> None:
    broker = open_broker(url)

    async def elsewhere() -> int:
        await Client(broker).enqueue(Task("a"))
        async with broker:
            await Client(broker).enqueue(Task("a"))
        [queue] = await Inspector(broker).queues()
        return queue.pending

    async def main() -> None:
        async with broker:
            client = Client(broker)
            await client.enqueue(Task("a"))
            assert await asyncio.to_thread(asyncio.run, elsewhere()) == 3
            await client.enqueue(Task("a"))

            def blocking() -> int:
                with SyncClient(broker) as client, SyncInspector(broker) as inspector:
                    client.enqueue(Task("a"))
                    return inspector.queue("default").pending

            assert await asyncio.to_thread(blocking) == 5
            await client.enqueue(Task("a"))

    asyncio.run(main())


def test_one_client_on_several_event_loops(url: str) -> None:
    async def main() -> None:
        async with Client(url) as client:

            async def enqueue() -> None:
                await asyncio.gather(*(client.enqueue(Task("a")) for _ in range(50)))

            await asyncio.gather(enqueue(), *(asyncio.to_thread(asyncio.run, enqueue()) for _ in range(4)))
            [queue] = await Inspector(client.broker).queues()
            assert queue.pending == 5 * 50

    asyncio.run(main())


def test_results_and_events_on_another_loop(app: App) -> None:
    handed: list[Any] = []
    release = threading.Event()

    @app.task("a")
    def a() -> int:
        assert release.wait(LIMIT)
        return 7

    async def main() -> None:
        async with app.running(shutdown_timeout=1):
            handle = await a.enqueue()

            async def wait() -> int:
                return await within(handle.result())

            async def follow() -> list[TaskState]:
                states: list[TaskState] = []
                async for event in handle.follow():
                    state = getattr(event, "state", None)
                    if state is not None:
                        states.append(state)
                    if state is TaskState.ACTIVE:
                        release.set()
                return states

            elsewhere = [
                asyncio.ensure_future(asyncio.to_thread(asyncio.run, within(call())))
                for call in (wait, follow)
            ]
            blocking = asyncio.ensure_future(asyncio.to_thread(app.sync.result, handle, int, timeout=LIMIT))
            handed.extend([await future for future in elsewhere])
            assert await blocking == 7
            assert await within(handle.result()) == 7

    asyncio.run(main())
    assert handed[0] == 7
    assert handed[1][-1] is TaskState.COMPLETED


def test_a_worker_on_another_loop_than_the_producer(app: App) -> None:
    running = threading.Event()
    stop: list[Callable[[], object]] = []

    @app.task("a")
    async def a(number: int) -> int:
        return number + 1

    async def work() -> None:
        async with app.running(shutdown_timeout=1):
            loop, stopped = asyncio.get_running_loop(), asyncio.Event()
            stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
            running.set()
            await within(stopped.wait())

    async def produce() -> None:
        async with app:
            worker = asyncio.ensure_future(asyncio.to_thread(asyncio.run, work()))
            try:
                assert await asyncio.to_thread(running.wait, LIMIT)
                handles = [await a.enqueue(number) for number in range(5)]
                assert [await within(handle.result()) for handle in handles] == [1, 2, 3, 4, 5]
            finally:
                stop[0]()
                await worker

    asyncio.run(produce())


def portals() -> int:
    """How many threads run an event loop for blocking calls."""
    return sum(thread.name == "asynqio portal" for thread in threading.enumerate())
