"""The producer of threads: its own connection, and what it does when that breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest
from benchmarks.network.proxy import DelayingProxy

from asynqio import BrokerUnavailable, Task, TaskIdConflict, TaskInfo
from asynqio.brokers.contract.results import Admission
from asynqio.brokers.redis.broker import open_redis
from asynqio.brokers.redis.connection.blocking import BlockingConnection
from asynqio.brokers.redis.producer import RedisProducer
from asynqio.brokers.redis.scripts.loader import LUA
from asynqio.errors import StorageFull
from asynqio.sync import Client
from asynqio.sync.portal import Portal
from tests.brokers.redis.support.certificates import Certificates
from tests.brokers.redis.support.sentinels import NAME, RedisSentinels
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import entry
from tests.until import until

P = ParamSpec("P")
T = TypeVar("T")

PENDING = "asynq:{default}:pending"


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, although pytest may run in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "server", aof="always") as server:
        yield server


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[DelayingProxy]:
    with DelayingProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: DelayingProxy) -> Iterator[Client]:
    """A client behind the proxy whose connection is open and whose scripts are loaded."""
    with Client(f"redis://127.0.0.1:{proxy.port}") as client:
        client.enqueue(Task("known"), task_id="known")
        yield client


def producer_of(client: Client) -> RedisProducer:
    assert isinstance(client._producer, RedisProducer)
    return client._producer


def calls_over_the_loop(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that the client runs on its event loop from now on."""
    called: list[str] = []
    call = Portal.call

    def note(self: Portal, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        called.append(function.__name__)
        return call(self, function, *args, **kwargs)

    monkeypatch.setattr(Portal, "call", note)
    return called


def pending(server: RedisServer) -> list[str]:
    """The ids in the queue, the oldest first."""
    found: list[str] = server.cli("LRANGE", PENDING, 0, -1)
    return found[::-1]


def test_a_call_needs_the_event_loop_only_to_register_a_new_queue(
    client: Client, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    called = calls_over_the_loop(client, monkeypatch)
    infos = [client.enqueue(Task("a")) for _ in range(20)]
    client.enqueue(Task("a"), queue="new")
    client.enqueue(Task("a"), queue="new")
    assert called == ["_register", "_register_again"]
    assert pending(redis_server) == ["known", *(info.id for info in infos)]
    assert redis_server.cli("SMEMBERS", "asynq:queues") == {"default", "new"}


@pytest.mark.parametrize("options", [{"task_id": "a"}, {"unique": 60}, {}], ids=["id", "unique", "plain"])
def test_a_lost_reply_enqueues_once(
    client: Client, proxy: DelayingProxy, redis_server: RedisServer, options: dict[str, Any]
) -> None:
    proxy.drop_replies(LUA.enqueue.sha)
    first = client.enqueue(Task("a"), **options)
    assert proxy.dropped() == 1
    assert pending(redis_server) == ["known", first.id]
    # The next call has a connection of its own again.
    second = client.enqueue(Task("b"))
    assert pending(redis_server) == ["known", first.id, second.id]
    assert connection_of(client) is not None


def test_a_refused_call_raises_as_on_the_event_loop(client: Client, redis_server: RedisServer) -> None:
    with pytest.raises(TaskIdConflict):
        client.enqueue(Task("a"), task_id="known")
    redis_server.cli("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(StorageFull):
            client.enqueue(Task("a"))
    finally:
        redis_server.cli("CONFIG", "SET", "maxmemory", 0)
    assert client.enqueue(Task("a")).id in pending(redis_server)


def test_an_unknown_script_is_loaded(client: Client, redis_server: RedisServer) -> None:
    redis_server.cli("SCRIPT", "FLUSH", "SYNC")
    infos = [client.enqueue(Task("a")) for _ in range(3)]
    assert pending(redis_server) == ["known", *(info.id for info in infos)]


def test_a_removed_queue_is_registered_again(client: Client, redis_server: RedisServer) -> None:
    redis_server.cli("FLUSHALL")
    client.enqueue(Task("a"))
    assert redis_server.cli("SMEMBERS", "asynq:queues") == {"default"}


def test_an_interrupted_call_leaves_no_reply_on_the_connection(
    client: Client, redis_server: RedisServer, proxy: DelayingProxy
) -> None:
    # Given a call that waits for its reply, and others that wait behind it
    proxy.stall()
    infos: list[TaskInfo] = []
    others = [threading.Thread(target=lambda: infos.append(client.enqueue(Task("other")))) for _ in range(3)]

    def interrupt() -> None:
        batcher = producer_of(client)._batcher
        until("the call is under way", lambda: batcher._turn is not None)
        for thread in others:
            thread.start()
        until("the others wait", lambda: len(batcher._waiting) == 3)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        proxy.resume()

    helper = threading.Thread(target=interrupt)
    helper.start()
    # When it is interrupted
    with pytest.raises(KeyboardInterrupt):
        client.enqueue(Task("a"), task_id="interrupted")
    helper.join()
    for thread in others:
        thread.join()
    # Then no later call takes its reply for its own
    with pytest.raises(TaskIdConflict):
        client.enqueue(Task("a"), task_id="known")
    waiting = pending(redis_server)
    assert sorted({*waiting} - {"known", "interrupted"}) == sorted(info.id for info in infos)
    assert len(waiting) == len(set(waiting))


def test_a_signal_handler_can_enqueue_during_a_call(
    client: Client, redis_server: RedisServer, proxy: DelayingProxy
) -> None:
    handled: list[TaskInfo] = []
    previous = signal.signal(signal.SIGUSR1, lambda *_: handled.append(client.enqueue(Task("b"))))
    proxy.stall()

    def interrupt() -> None:
        until("the call is under way", lambda: producer_of(client)._batcher._turn is not None)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        proxy.resume()

    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        info = client.enqueue(Task("a"))
    finally:
        helper.join()
        signal.signal(signal.SIGUSR1, previous)
    until("the signal is handled", lambda: handled)
    assert sorted(pending(redis_server)) == sorted(["known", info.id, handled[0].id])


def test_cut_connections_under_many_threads(
    client: Client, proxy: DelayingProxy, redis_server: RedisServer
) -> None:
    """Connections are reset while replies are on their way."""
    done = threading.Event()

    def cut() -> None:
        while not done.wait(0.02):
            proxy.cut()

    helper = threading.Thread(target=cut)
    helper.start()
    try:
        infos = enqueue_from_threads(client, 20, 40)
    finally:
        done.set()
        helper.join()
    waiting = pending(redis_server)
    assert len(waiting) == len(set(waiting))
    # A call whose second reply is lost too raises, and its task may be there.
    assert {info.id for info in infos} <= {*waiting}


def enqueue_from_threads(client: Client, threads: int, each: int) -> list[TaskInfo]:
    """The tasks that were accepted; calls that fail because the server is away are repeated as new tasks."""

    def enqueue(_: int) -> list[TaskInfo]:
        found: list[TaskInfo] = []
        while len(found) < each:
            with contextlib.suppress(BrokerUnavailable):
                found.append(client.enqueue(Task("a")))
        return found

    with ThreadPoolExecutor(threads) as pool:
        return [info for infos in pool.map(enqueue, range(threads)) for info in infos]


def _holds(server: RedisServer, count: int) -> bool:
    return int(server.cli("LLEN", PENDING)) > count


def test_a_killed_server_under_many_threads(server: RedisServer) -> None:
    """No accepted task is lost, none is there twice."""
    rounds = int(os.environ.get("ASYNQIO_TEST_KILLS", "2"))
    with Client(server.url) as client:
        client.enqueue(Task("a"))
        server.cli("DEL", PENDING)
        with ThreadPoolExecutor(1) as pool:
            enqueued = pool.submit(enqueue_from_threads, client, 20, 100 * rounds)
            for number in range(1, rounds + 1):
                until("tasks arrive", partial(_holds, server, 500 * number))
                server.kill()
                server.start()
            infos = enqueued.result()
    waiting = pending(server)
    assert len(waiting) == len(set(waiting))
    assert {info.id for info in infos} <= {*waiting}


def clients(server: RedisServer) -> int:
    """The number of connections."""
    return len(server.cli("CLIENT", "LIST").splitlines())


def connection_of(client: Client) -> BlockingConnection | None:
    connection = producer_of(client)._connection
    return None if connection is None or connection.closed else connection


def test_without_a_connection_of_its_own_the_event_loop_enqueues(server: RedisServer) -> None:
    with Client(server.url) as client:
        server.cli("CONFIG", "SET", "maxclients", clients(server))
        client.enqueue(Task("a"), task_id="a")
        assert connection_of(client) is None
        server.cli("CONFIG", "SET", "maxclients", 100)
        producer_of(client)._retry_at = 0.0
        client.enqueue(Task("a"), task_id="b")
        assert connection_of(client) is not None
    assert pending(server) == ["a", "b"]


def test_a_client_that_is_closed_closes_its_connection(server: RedisServer) -> None:
    before = clients(server)
    client = Client(server.url).open()
    client.enqueue(Task("a"))
    assert clients(server) == before + 2
    client.close()
    until("closed", lambda: clients(server) == before)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_a_connection_of_its_own(redis_server: RedisServer) -> None:
    broker = open_redis(redis_server.url)

    def run(function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def on_loop() -> T:
            async with broker:
                return await function(*args, **kwargs)

        return asyncio.run(on_loop())

    producer = broker.producer(run)
    assert producer is not None
    producer.enqueue(entry("parent"))
    connection = producer._connection
    child = os.fork()
    if not child:
        try:
            done = all(producer.enqueue(entry(f"child-{n}")) is Admission.ACCEPTED for n in range(3))
            os._exit(0 if done and producer._connection is not connection else 1)
        finally:
            os._exit(2)
    assert producer.enqueue(entry("meanwhile")) is Admission.ACCEPTED
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert producer.enqueue(entry("afterwards")) is Admission.ACCEPTED
    assert producer._connection is connection
    producer.close()
    expected = ["afterwards", "child-0", "child-1", "child-2", "meanwhile", "parent"]
    assert sorted(pending(redis_server)) == expected


@pytest.mark.parametrize("how", ["unix", "database", "acl", "tls"])
def test_ways_to_connect(tmp_path: Path, how: str) -> None:
    options: dict[str, Any] = {}
    if how == "acl":
        options["users"] = {"me": "~asynq* &asynq* +@all -client -ping"}
    if how == "tls":
        options["tls"] = Certificates(tmp_path / "tls")
    with RedisServer(tmp_path / "server", **options) as server:
        url = {
            "unix": f"redis+unix://{server.socket}",
            "database": f"redis://127.0.0.1:{server.port}/3",
            "tls": f"{server.url}?ca={tmp_path}/tls/ca.crt",
        }.get(how, server.url)
        with Client(url) as client:
            infos = enqueue_from_threads(client, 3, 5)
            assert connection_of(client) is not None
            assert {client.find(info.id).id for info in infos} == {info.id for info in infos}


def test_a_new_master(tmp_path: Path) -> None:
    with RedisSentinels(tmp_path) as group:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in group.sentinels)
        with Client(f"redis+sentinel://{hosts}/{NAME}?patience=20") as client:
            first = client.enqueue(Task("a"))
            connection = connection_of(client)
            assert connection is not None
            until("it is copied", lambda: group.servers[1].cli("LLEN", PENDING) == 1)
            group.kill_master()
            second = client.enqueue(Task("b"))
            producer_of(client)._retry_at = 0.0
            third = client.enqueue(Task("c"))
            assert connection_of(client) not in (None, connection)
            assert pending(group.servers[1]) == [first.id, second.id, third.id]
