"""A program that forks, `python -m tests.conformance.callers.forks NAME URL`, prints what each process did."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable

from asynqio import App, Client, Task
from asynqio.brokers import open_broker
from asynqio.errors import AsynqioError
from asynqio.sync import Client as SyncClient
from asynqio.sync import Inspector as SyncInspector

#: Seconds after which a process that hangs is killed.
LIMIT = 20


def attempt(where: str, call: Callable[[], object]) -> None:
    """Make a call, and print what came of it."""
    try:
        call()
        print(where, "ok", flush=True)
    except AsynqioError as error:
        print(where, type(error).__name__, error, flush=True)
    except BaseException:
        traceback.print_exc()
        print(where, "failed", flush=True)


def in_a_fork(call: Callable[[], object]) -> None:
    """Make the call in a forked child, twice, and wait for it."""
    pid = os.fork()
    if not pid:
        signal.alarm(LIMIT)
        attempt("child", call)
        attempt("child", call)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        print("child died", status, flush=True)


def blocking_client(url: str) -> None:
    """A blocking client that is open."""
    client = SyncClient(url).open()
    enqueue = lambda: client.enqueue(Task("a"))  # noqa: E731
    attempt("parent", enqueue)
    in_a_fork(enqueue)
    attempt("parent", enqueue)
    client.close()


def closed_client(url: str) -> None:
    """A blocking client that was closed before the fork."""
    with SyncClient(url) as client:
        client.enqueue(Task("a"))

    def enqueue() -> None:
        with client:
            client.enqueue(Task("a"))

    in_a_fork(enqueue)
    attempt("parent", enqueue)


def app_in_use(url: str) -> None:
    """An app that was used with and without an event loop; the child does both, as the parent does after it."""
    app = App(url)
    asyncio.run(app.enqueue(Task("a")))
    app.sync.enqueue(Task("a"))

    def enqueue() -> None:
        app.sync.enqueue(Task("a"))
        asyncio.run(app.enqueue(Task("a")))

    in_a_fork(enqueue)
    attempt("parent", enqueue)
    app.sync.close()


def unused_app(url: str) -> None:
    """An app that only the processes after the fork use, as with gunicorn --preload."""
    app = App(url)

    async def with_a_loop() -> None:
        async with app:
            await app.enqueue(Task("a"))

    def enqueue() -> None:
        app.sync.enqueue(Task("a"))
        asyncio.run(with_a_loop())

    in_a_fork(enqueue)
    attempt("parent", enqueue)
    app.sync.close()


def broker_of_the_user(url: str) -> None:
    """A broker, an async client and a blocking inspector that share it."""
    broker = open_broker(url)
    client, inspector = Client(broker), SyncInspector(broker)

    async def enter() -> None:
        await broker.__aenter__()
        await client.enqueue(Task("a"))

    asyncio.run(enter())
    inspector.open()

    def use() -> None:
        asyncio.run(client.enqueue(Task("a")))
        inspector.queues()

    in_a_fork(use)
    attempt("parent", use)
    inspector.close()


def from_a_handler(url: str) -> None:
    """A handler of a worker forks, and the child enqueues; the worker keeps working."""
    app = App(url, retention=60, max_retry=0)

    @app.task("forks")
    def forks() -> None:
        in_a_fork(lambda: app.sync.enqueue(Task("b"), queue="other"))

    @app.task("plain")
    async def plain() -> None: ...

    async def main() -> None:
        async with asyncio.timeout(LIMIT), app, app.running(shutdown_timeout=1):
            await (await forks.enqueue()).result()
            for _ in range(10):
                await (await plain.enqueue()).result()
        print("worker ok", flush=True)

    asyncio.run(main())
    app.sync.close()


def inside_a_loop(url: str) -> None:
    """A coroutine forks: the event loop does not exist in the child."""

    async def main() -> None:
        async with Client(url) as client:
            await client.enqueue(Task("a"))

            def drive() -> None:
                client.enqueue(Task("a")).send(None)

            in_a_fork(drive)
            await client.enqueue(Task("a"))
            print("parent ok", flush=True)

    asyncio.run(main())


def multiprocessing_pool(url: str) -> None:
    """The children of a pool use the app of the program."""
    global _app
    _app = App(url)
    attempt("parent", _enqueue)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for answer in [pool.apply_async(_enqueue_or_error) for _ in range(4)]:
            print("child", answer.get(LIMIT), flush=True)
    attempt("parent", _enqueue)
    _app.sync.close()


_app: App


def _enqueue() -> None:
    _app.sync.enqueue(Task("a"))


def _enqueue_or_error() -> str:
    try:
        _enqueue()
    except AsynqioError as error:
        return f"{type(error).__name__} {error}"
    return "ok"


if __name__ == "__main__":
    signal.alarm(3 * LIMIT)
    globals()[sys.argv[1]](sys.argv[2])
