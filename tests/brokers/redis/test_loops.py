"""The connections that event loops and processes leave on the server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

from asynqio import App, Client, Task
from asynqio.brokers import open_broker
from asynqio.brokers.contract.signals import ended
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.task.message import TaskRef
from tests.brokers.redis.support.fixtures import fresh_server
from tests.brokers.redis.support.servers import RedisServer
from tests.until import until


def connections(server: RedisServer) -> int:
    """How many connections of asynqio the server has."""
    return sum("name=asynqio" in line for line in server.cli("CLIENT", "LIST").splitlines())


async def use(app: App) -> None:
    """Open the connections of a loop: for commands, and for push messages, which tracks keys."""
    handle = await app.enqueue(Task("a"))
    topics = [("pending", "default"), ended(TaskRef("default", handle.id))]
    with app.broker.watch(topics):
        while sum(b"flags=t" in line for line in await client_list(app)) < 1:  # noqa: ASYNC110 - it has no signal
            await asyncio.sleep(0.01)
    assert isinstance(app.broker, RedisBroker)
    await (await app.broker._session()).background.wait()


async def client_list(app: App) -> list[bytes]:
    """What the server says of our connections."""
    assert isinstance(app.broker, RedisBroker)
    session = await app.broker._session()
    lines = (await session.redis.command(None, "CLIENT", "LIST")).splitlines()
    return [line for line in lines if b"name=asynqio" in line]


def test_a_loop_that_ends_without_close_leaves_no_connection() -> None:
    server = fresh_server()
    app = App(server.url)
    for _ in range(5):
        asyncio.run(use(app))
        until("the connections of the loop are closed", lambda: connections(server) == 0)
    asyncio.run(app.close())


ABRUPT_END = """
import asyncio, gc, sys
from asynqio import App, Task
from tests.brokers.redis.test_loops import client_list, use

app = App(sys.argv[1])

async def only_connection():
    await app.enqueue(Task("a"))
    async with asyncio.timeout(30):
        while len(await client_list(app)) > 1:
            await asyncio.sleep(0.01)

def run(coroutine):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(coroutine)
    loop.close()

for _ in range(5):
    run(use(app))
    run(only_connection())
    gc.collect()
asyncio.run(app.close())
print("closed", flush=True)
sys.stdin.read()
"""


def test_a_loop_that_is_closed_without_an_end_of_its_tasks_leaves_its_connections_to_the_next() -> None:
    server = fresh_server()
    command = [sys.executable, "-c", ABRUPT_END, server.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True) as program:  # type: ignore[call-overload]
        assert program.stdout.readline() == "closed\n", program.stderr.read()
        until("all are closed", lambda: connections(server) == 0)
        _, errors = program.communicate(timeout=60)
    assert errors == "", "and it is silent"


def test_the_last_close_closes_the_connections_of_all_loops() -> None:
    server = fresh_server()
    broker = open_broker(server.url)

    async def main() -> None:
        async with broker:
            loop, end = await asyncio.to_thread(start_loop)
            elsewhere = asyncio.run_coroutine_threadsafe(Client(broker).enqueue(Task("a")), loop)
            await asyncio.wrap_future(elsewhere)
            assert await asyncio.to_thread(connections, server) == 2
        await asyncio.to_thread(until, "both are closed", lambda: connections(server) == 0)
        await asyncio.to_thread(end)

    asyncio.run(main())


def start_loop() -> tuple[asyncio.AbstractEventLoop, Callable[[], None]]:
    """An event loop that runs in a thread, and a function that ends it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def end() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    return loop, end


def test_leaving_a_block_cuts_no_call_of_the_same_loop() -> None:
    """Another loop holds the broker open. Here, one coroutine uses it, and another enters and leaves a block."""
    server = fresh_server()
    broker = open_broker(server.url)
    elsewhere, stop = start_loop()
    asyncio.run_coroutine_threadsafe(broker.__aenter__(), elsewhere).result(30)

    async def main() -> None:
        await broker.ping()
        server.pause()
        try:
            calls = [asyncio.create_task(broker.ping()) for _ in range(3)]
            await asyncio.sleep(0)  # the calls are made
            async with broker:
                pass
        finally:
            server.unpause()
        await asyncio.gather(*calls)

    asyncio.run(main())
    asyncio.run_coroutine_threadsafe(broker.__aexit__(None, None, None), elsewhere).result(30)
    stop()


def test_one_connection_per_loop_however_many_callers() -> None:
    server = fresh_server()

    async def main() -> None:
        async with App(server.url) as app:

            async def enqueue() -> None:
                await asyncio.gather(*(app.enqueue(Task("a")) for _ in range(50)))

            await asyncio.gather(enqueue(), asyncio.to_thread(app.sync.enqueue_many, [Task("a")] * 50))
            assert await asyncio.to_thread(connections, server) == 2
            await asyncio.to_thread(app.sync.close)

    asyncio.run(main())
    until("all are closed", lambda: connections(server) == 0)


def test_a_cancelled_session_is_replaced() -> None:
    """Some programs cancel all tasks of their loop and go on."""
    server = fresh_server()

    async def main() -> None:
        async with App(server.url) as app:
            await app.enqueue(Task("a"))
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            await app.enqueue(Task("a"))
            assert await asyncio.to_thread(connections, server) == 1

    asyncio.run(main())
    until("all are closed", lambda: connections(server) == 0)


FORK = """
import asyncio, os, sys
from asynqio.brokers import open_broker
from asynqio.sync.portal import PORTAL

broker = open_broker(sys.argv[1])
async def enter(): await broker.__aenter__()
async def id(): return await (await broker._session()).redis.command(None, "CLIENT", "ID")
PORTAL.acquire().call(enter)
print(PORTAL.acquire().call(id), flush=True)
pid = os.fork()
print(PORTAL.acquire().call(id), flush=True)
if not pid:
    os._exit(0)
os.waitpid(pid, 0)
print(PORTAL.acquire().call(id))
"""


def test_a_forked_child_has_its_own_connection() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORK, fresh_server().url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, *between, after = map(int, ran.stdout.split())
    assert before == after
    assert len(set(between)) == 2, "the parent's and the child's"
    assert before in between
