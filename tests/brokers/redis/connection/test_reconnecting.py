"""One pipelined connection, and how it comes back. Against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import random
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.proxy import DelayingProxy

from asynqio.brokers.redis.connection.errors import translate
from asynqio.brokers.redis.connection.reconnecting import Link, RedisError, ReplyLost
from asynqio.brokers.redis.settings import Address, parse
from asynqio.errors import BrokerError, BrokerUnavailable, ConfigError, StorageFull
from tests.brokers.redis.support.certificates import Certificates
from tests.brokers.redis.support.servers import RedisServer

#: Long enough for a slow machine; nobody waits for it to pass.
SOON = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may kill."""
    with RedisServer(tmp_path / "own") as server:
        yield server


def link_to(url: str, **others: Any) -> Link:
    """A link that is not open yet."""
    settings = parse(url)

    async def locate() -> Address:
        return settings.path or settings.nodes[0]

    return Link(settings, locate, **others)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Link]:
    link = link_to(url)
    before = asyncio.all_tasks()
    await link.open()
    ours = asyncio.all_tasks() - before
    assert ours
    try:
        yield link
    finally:
        await link.close()
        assert not ours & asyncio.all_tasks()


async def outcome(call: Awaitable[Any]) -> Any:
    """The answer, or the error."""
    try:
        async with asyncio.timeout(SOON):
            return await call
    except BrokerError as error:
        return error


async def connections(server: RedisServer, name: str = "asynqio") -> int:
    return str(await to_thread(server.cli, "CLIENT", "LIST")).count(f" name={name} ")


# --- answers find their callers -------------------------------------------------------------------


async def test_answers_come_in_the_order_of_the_calls(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as link:
        counts = await asyncio.gather(*(link.call("INCR", "n") for _ in range(1000)))
        assert counts == list(range(1, 1001))
        echoes = await asyncio.gather(*(link.call("ECHO", number) for number in range(1000)))
        assert echoes == [str(number).encode() for number in range(1000)]


async def test_words_and_answers_are_bytes(redis_server: RedisServer) -> None:
    every = bytes(range(256))
    async with opened(redis_server.url) as link:
        await link.call("SET", "ключ", every)
        assert await link.call(b"GET", "ключ".encode()) == every
        assert await link.call("INCRBYFLOAT", "f", 1.5) == b"1.5"
        assert await link.call("INCRBY", "i", -3) == -3
        assert await link.call("GET", "missing") is None
        assert await link.call("MGET", "i", "missing") == [b"-3", None]


async def test_many_callers_cost_one_send(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as link:
        before = await to_thread(redis_server.cli, "INFO", "stats")
        await asyncio.gather(*(link.call("ECHO", "x" * 100) for _ in range(100)))
        after = await to_thread(redis_server.cli, "INFO", "stats")
    # 100 commands of 120 bytes, in reads of 16 KiB, and the one that asks.
    assert after["total_reads_processed"] - before["total_reads_processed"] <= 5


async def test_what_cannot_be_sent_disturbs_nobody(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as link:
        first = link.call("ECHO", "a")
        with pytest.raises(TypeError):
            link.call("SET", "key", None)
        second = link.call("ECHO", "b")
        assert (await first, await second) == (b"a", b"b")


async def test_a_caller_that_leaves_takes_no_answer_of_others(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as link:
        calls = [asyncio.ensure_future(link.call("ECHO", number)) for number in range(100)]
        calls[0].cancel()  # before it was sent
        await asyncio.sleep(0)
        for call in calls[1::2]:
            call.cancel()  # while it is under way
        answers = await asyncio.gather(*calls[2::2])
        assert answers == [str(number).encode() for number in range(2, 100, 2)]
        assert await link.call("ECHO", "next") == b"next"


async def test_a_caller_whose_time_is_up_takes_no_answer_of_others(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as link:
        slow = asyncio.create_task(outcome(link.call("BLPOP", "nothing", 0.2)))
        await asyncio.sleep(0)
        slow.cancel()
        assert await link.call("ECHO", "next") == b"next"


async def test_large_answers_and_large_commands(redis_server: RedisServer) -> None:
    big = b"x" * 20_000_000
    async with opened(redis_server.url) as link:
        # More than the sockets take: the later ones have to wait for the earlier ones.
        answers = await asyncio.gather(
            link.call("SET", "big", big),
            link.call("GET", "big"),
            *(link.call("ECHO", big[:1_000_000]) for _ in range(20)),
            link.call("STRLEN", "big"),
        )
        assert answers[0] == b"OK"
        assert answers[1] == big
        assert {len(answer) for answer in answers[2:-1]} == {1_000_000}
        assert answers[-1] == len(big)


# --- errors ---------------------------------------------------------------------------------------


async def test_errors_are_raised_with_their_code(redis_server: RedisServer) -> None:
    async with opened(redis_server.url) as link:
        await link.call("SET", "text", "x")
        with pytest.raises(RedisError) as caught:
            await link.call("LPUSH", "text", "y")
        assert caught.value.code == "WRONGTYPE"
        assert caught.value.text.startswith("WRONGTYPE Operation against")
        with pytest.raises(RedisError) as caught:
            await link.call("EVALSHA", "0" * 40, 0)
        assert caught.value.code == "NOSCRIPT"
        with pytest.raises(RedisError, match="unknown command"):
            await link.call("NOSUCH")


async def test_a_full_server_is_storage_full(server: RedisServer) -> None:
    async with opened(server.url) as link:
        await link.call("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StorageFull, match="nothing was changed"):
            await link.call("SET", "a", "b")
        with pytest.raises(StorageFull):
            await link.call("EVAL", "return redis.call('SET', KEYS[1], 'b')", 1, "a")


async def test_a_demoted_server_is_left(server: RedisServer) -> None:
    async with opened(server.url) as link:
        number = await link.call("CLIENT", "ID")
        await link.call("REPLICAOF", "127.0.0.1", 1)
        refused, other = await asyncio.gather(
            outcome(link.call("SET", "a", 1)), outcome(link.call("ECHO", "b"))
        )
        assert isinstance(refused, BrokerUnavailable)
        assert not isinstance(refused, ReplyLost)
        assert other == b"b"  # it was under way
        await link.call("REPLICAOF", "NO", "ONE")
        assert await link.call("CLIENT", "ID") != number
        assert await link.call("SET", "a", 1) == b"OK"


async def test_rule_13_a_busy_server_is_unavailable(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=30") as link, opened(server.url) as other:
        await link.call("CONFIG", "SET", "busy-reply-threshold", 1)
        loop = asyncio.ensure_future(outcome(link.call("EVAL", "while true do end", 0)))
        error = None
        while not isinstance(error, BrokerUnavailable):
            error = await outcome(other.call("GET", "a"))
        assert "SCRIPT KILL" in str(error)
        await other.call("SCRIPT", "KILL")
        assert isinstance(await loop, RedisError)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # As versions before 7 wrap what goes wrong inside a script.
        (
            "ERR Error running script (call to f_94): @user_script:1: @user_script: 1: -OOM command not allowed",
            StorageFull,
        ),
        (
            "ERR Error running script (call to f_94): @user_script:1: @user_script: 1: -READONLY You can't write",
            BrokerUnavailable,
        ),
        ("ERR Error running script (call to f_94): @user_script:1: attempt to call a nil value", RedisError),
        ("LOADING Redis is loading the dataset in memory", BrokerUnavailable),
        ("MASTERDOWN Link with MASTER is down", BrokerUnavailable),
        ("MISCONF Redis is configured to save RDB snapshots", BrokerUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", BrokerUnavailable),
        ("CLUSTERDOWN The cluster is down", BrokerUnavailable),
        ("BUSYKEY Target key name already exists.", RedisError),
        ("NOT FOUND", RedisError),
        ("", RedisError),
    ],
)
def test_what_an_error_means(text: str, kind: type[BrokerError]) -> None:
    error = translate(text)
    assert isinstance(error, kind)
    assert isinstance(error, RedisError) == (kind is RedisError)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(translate("WRONGTYPE Operation against a key")))
    assert isinstance(error, RedisError)
    assert (error.code, error.text) == ("WRONGTYPE", "WRONGTYPE Operation against a key")


# --- getting in -----------------------------------------------------------------------------------


async def test_database_and_name(redis_server: RedisServer) -> None:
    port = redis_server.port
    async with opened(f"redis://127.0.0.1:{port}/3?client_name=somebody") as link:
        info = (await link.call("CLIENT", "INFO")).decode()
        assert " name=somebody " in info
        assert " db=3 " in info


async def test_a_unix_socket(redis_server: RedisServer) -> None:
    async with opened(f"redis+unix://{redis_server.socket}") as link:
        assert await link.call("ECHO", "a") == b"a"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a user who may touch our keys only."""
    with RedisServer(tmp_path / "guarded", users={"me": "~asynq:* +@all"}) as server:
        yield server


async def test_a_user_with_a_password(guarded: RedisServer) -> None:
    async with opened(guarded.url) as link:
        assert await link.call("SET", "asynq:a", 1) == b"OK"
        with pytest.raises(RedisError, match="NOPERM"):
            await link.call("SET", "b", 1)


async def test_a_user_who_may_do_little_gets_in(server: RedisServer) -> None:
    await to_thread(server.cli, "ACL", "SETUSER", "me", "on", "nopass", "~*", "+get")
    async with opened(f"redis://me@127.0.0.1:{server.port}") as link:
        assert await link.call("GET", "a") is None


@pytest.mark.parametrize(
    ("login", "advice"),
    [
        (":sesame@", "does not take this user name and password"),
        ("me:sesame@", "does not take this user name and password"),
        ("", "it wants a password: write redis://:password@host"),
    ],
)
async def test_who_is_not_let_in_hears_why_at_once(server: RedisServer, login: str, advice: str) -> None:
    await to_thread(server.cli, "CONFIG", "SET", "requirepass", "open")
    link = link_to(f"redis://{login}127.0.0.1:{server.port}?patience=60")
    async with asyncio.timeout(SOON):
        with pytest.raises(BrokerError, match=advice) as caught:
            await link.open()
    assert not isinstance(caught.value, BrokerUnavailable)
    assert "sesame" not in repr(caught.value)
    # The server keeps no connection of ours.
    await link.close()


async def test_who_is_not_let_in_does_not_keep_knocking(server: RedisServer) -> None:
    async with opened(server.url) as link:
        await to_thread(server.cli, "CONFIG", "SET", "requirepass", "open")
        before = (await to_thread(server.cli, "INFO", "stats"))["total_connections_received"]
        await to_thread(server.cli, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        error = await outcome(link.call("GET", "a"))
        while isinstance(error, ReplyLost):
            error = await outcome(link.call("GET", "a"))
        assert "wants a password" in str(error)
        began = time.monotonic()
        # Each of these waits for the next try, and fails with it.
        for _ in range(2):
            assert "wants a password" in str(await outcome(link.call("GET", "a")))
        tries = (await to_thread(server.cli, "INFO", "stats"))["total_connections_received"] - before
        assert time.monotonic() - began >= 1.0
        assert tries <= 6


async def test_no_such_database(redis_server: RedisServer) -> None:
    link = link_to(f"redis://127.0.0.1:{redis_server.port}/999")
    with pytest.raises(BrokerError, match="no such database"):
        await link.open()


async def test_no_room_for_another_client(server: RedisServer) -> None:
    async with opened(server.url):
        await to_thread(server.cli, "CONFIG", "SET", "maxclients", 2)
        link = link_to(f"{server.url}?patience=0.2")
        said = ""
        while "maxclients" not in said:  # or that the connection was reset, if that was faster
            with pytest.raises(BrokerUnavailable) as caught:
                await link.open()
            said = str(caught.value)


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that asks for a certificate, and has one that says localhost and 127.0.0.1."""
    tls = Certificates(tmp_path / "tls")
    with RedisServer(tmp_path / "encrypted", "tls-auth-clients yes", tls=tls) as server:
        yield server


async def test_tls_with_our_own_authority_and_a_client_certificate(encrypted: RedisServer) -> None:
    tls = encrypted.tls
    assert tls
    ours = f"cert={tls.cert}&key={tls.key}"
    for url in (encrypted.url, f"rediss://localhost:{encrypted.port}"):
        async with opened(f"{url}?ca={tls.ca}&{ours}") as link:
            assert await link.call("ECHO", "a" * 1_000_000) == b"a" * 1_000_000
    async with opened(f"{encrypted.url}?{ours}&verify=none") as link:
        assert await link.call("ECHO", "a") == b"a"
    with pytest.raises(BrokerError, match="give the authority with ca="):
        await link_to(f"{encrypted.url}?{ours}").open()
    with pytest.raises(ConfigError, match="cannot be used"):
        await link_to(f"{encrypted.url}?ca={tls.ca}.missing").open()
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        await link_to(f"{encrypted.url}?ca={tls.ca}&patience=0.2").open()
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        await link_to(f"redis://127.0.0.1:{encrypted.port}?patience=0.2").open()


async def test_a_certificate_for_another_host(encrypted: RedisServer) -> None:
    tls = encrypted.tls
    assert tls
    other = f"rediss://127.1:{encrypted.port}?ca={tls.ca}&cert={tls.cert}&key={tls.key}"
    with pytest.raises(BrokerError, match="verify=ca"):
        await link_to(other).open()
    async with opened(f"{other}&verify=ca") as link:
        assert await link.call("ECHO", "a") == b"a"


async def test_tls_where_there_is_none(redis_server: RedisServer) -> None:
    with pytest.raises(BrokerUnavailable, match="TLS"):
        await link_to(f"rediss://127.0.0.1:{redis_server.port}?patience=0.4&connect_timeout=0.1").open()


async def test_a_server_of_another_kind(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1") as web:
        port = web.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnavailable, match="does not speak the Redis protocol"):
            await link_to(f"redis://127.0.0.1:{port}?patience=0.2").open()


async def test_a_server_that_lets_nobody_stay() -> None:
    visits = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        await reader.readuntil(b"PING\r\n")
        writer.write(b"+OK\r\n+PONG\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1") as inn:
        port = inn.sockets[0].getsockname()[1]
        link = link_to(f"redis://127.0.0.1:{port}?patience=0.4")
        link.start()
        errors = [await outcome(link.call("ECHO", number)) for number in range(3)]
        await link.close()
    assert all(isinstance(error, BrokerUnavailable) for error in errors)
    assert visits <= 12


async def test_nobody_there(server: RedisServer) -> None:
    await to_thread(server.kill)
    with pytest.raises(BrokerUnavailable, match=r"Connection refused.*check that it runs") as caught:
        await link_to(f"{server.url}?patience=0.2").open()
    assert str(server.port) in str(caught.value)


async def test_before_and_after(redis_server: RedisServer) -> None:
    link = link_to(redis_server.url)
    with pytest.raises(BrokerUnavailable, match="is not open"):
        link.call("PING")
    await link.close()
    await link.open()
    under_way = asyncio.ensure_future(outcome(link.call("BLPOP", "nothing", 0)))
    await asyncio.sleep(0)
    await link.close()
    assert isinstance(await under_way, BrokerUnavailable)
    with pytest.raises(BrokerUnavailable, match="is not open"):
        link.call("PING")
    await link.open()
    assert await link.call("ECHO", "a") == b"a"
    await link.close()
    assert await connections(redis_server) == 0


# --- when it breaks -------------------------------------------------------------------------------


async def test_what_was_not_sent_waits_for_the_server_and_what_was_is_lost(server: RedisServer) -> None:
    async with opened(f"{server.url}?patience=20") as link:
        lost = [asyncio.ensure_future(outcome(link.call("BLPOP", "nothing", 0))) for _ in range(3)]
        await link_idle(server)
        await to_thread(server.kill)
        for error in await asyncio.gather(*lost):
            assert isinstance(error, ReplyLost)
            assert "may or may not have been done" in str(error)
        waiting = [asyncio.ensure_future(outcome(link.call("INCR", "n"))) for _ in range(10)]
        gone = asyncio.ensure_future(link.call("INCR", "n"))
        await asyncio.sleep(0)
        gone.cancel()
        assert not any(call.done() for call in waiting)
        await to_thread(server.start)
        assert await asyncio.gather(*waiting) == list(range(1, 11))
        assert await link.call("GET", "n") == b"10"


async def link_idle(server: RedisServer) -> None:
    """Return when the server has the BLPOP of this test."""
    while " cmd=blpop " not in str(await to_thread(server.cli, "CLIENT", "LIST")):
        pass


async def test_who_clings_to_a_broken_connection_is_told(server: RedisServer) -> None:
    async with opened(server.url) as link:
        clinging = link.call
        await to_thread(server.restart)
        assert await link.call("ECHO", "a") == b"a"
        for _ in range(2):
            error = await outcome(clinging("ECHO", "a"))
            assert isinstance(error, BrokerUnavailable)
            assert "this call was not sent" in str(error)


async def test_a_call_waits_no_longer_than_it_is_patient(server: RedisServer) -> None:
    async with opened(f"{server.url}?patience=0.3") as link:
        await to_thread(server.kill)
        await outcome(link.call("PING"))  # which may find the dead connection
        began = time.monotonic()
        error = await outcome(link.call("PING"))
        assert 0.3 <= time.monotonic() - began < 2
        assert isinstance(error, BrokerUnavailable)
        assert not isinstance(error, ReplyLost)
        assert "was not sent" in str(error)


async def test_a_frozen_server_is_given_up(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=0.3&connect_timeout=0.3&patience=20") as link:
        await to_thread(server.pause)
        began = time.monotonic()
        first, second = await asyncio.gather(outcome(link.call("INCR", "a")), outcome(link.call("INCR", "b")))
        assert 0.3 <= time.monotonic() - began < 3
        assert isinstance(first, ReplyLost)
        assert isinstance(second, ReplyLost)
        assert "no answer within 0.3 s" in str(first)
        waiting = asyncio.ensure_future(link.call("INCR", "c"))
        await asyncio.sleep(0)
        await to_thread(server.unpause)
        assert await waiting == 1


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[DelayingProxy]:
    """A network before the shared server."""
    with DelayingProxy(redis_server.port) as made:
        yield made


async def test_what_was_done_without_an_answer_is_not_done_again(
    proxy: DelayingProxy, redis_server: RedisServer
) -> None:
    async with opened(f"redis://127.0.0.1:{proxy.port}?patience=20") as link:
        await to_thread(proxy.drop_replies, after="INCR")
        first, second = await asyncio.gather(outcome(link.call("INCR", "n")), outcome(link.call("ECHO", "a")))
        assert isinstance(first, ReplyLost)
        assert isinstance(second, ReplyLost)
        assert await link.call("GET", "n") == b"1"


async def test_a_long_way_costs_once_for_all(proxy: DelayingProxy) -> None:
    async with opened(f"redis://127.0.0.1:{proxy.port}") as link:
        await to_thread(proxy.set_delay, 0.05)
        began = time.monotonic()
        await asyncio.gather(*(link.call("ECHO", number) for number in range(100)))
        assert 0.1 <= time.monotonic() - began < 1


async def test_nobody_gets_the_answer_of_another(proxy: DelayingProxy) -> None:
    chance = random.Random(7)
    asked = lost = left = 0
    answered: asyncio.Queue[bytes] = asyncio.Queue()

    async def caller(link: Link, name: int) -> None:
        nonlocal asked, lost, left
        while True:
            asked += 1
            question = f"{name} {asked} {'x' * chance.choice([0, 10, 100_000])}".encode()
            answer = asyncio.ensure_future(outcome(link.call("ECHO", question)))
            if chance.random() < 0.2:
                await asyncio.sleep(chance.choice([0, 0.001]))
                answer.cancel()
            await asyncio.wait([answer])
            if answer.cancelled():
                left += 1
            elif isinstance(answer.result(), ReplyLost):
                lost += 1
            else:
                assert answer.result() == question
                answered.put_nowait(question)

    async with opened(f"redis://127.0.0.1:{proxy.port}?patience=20") as link:
        callers = [asyncio.create_task(caller(link, name)) for name in range(50)]
        async with asyncio.timeout(SOON):
            for _ in range(10):
                for _ in range(500):
                    await answered.get()
                await to_thread(proxy.cut)
        for task in callers:
            task.cancel()
        ends = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}, ends
    print(f"{asked} asked, {lost} lost, {left} left")
    assert lost
    assert left


async def test_a_network_that_swallows_everything(proxy: DelayingProxy) -> None:
    url = f"redis://127.0.0.1:{proxy.port}?timeout=0.2&connect_timeout=0.2&patience=20"
    async with opened(url) as link:
        await to_thread(proxy.stall)
        assert isinstance(await outcome(link.call("ECHO", "a")), ReplyLost)
        waiting = asyncio.ensure_future(link.call("ECHO", "b"))
        await asyncio.sleep(0)
        await to_thread(proxy.resume)
        assert await waiting == b"b"


async def test_a_slow_answer_is_not_given_up_while_it_comes(redis_server: RedisServer) -> None:
    async with opened(f"{redis_server.url}?timeout=0.4") as link:
        for _ in range(3):
            assert await link.call("BLPOP", "nothing", 0.2) is None
        await asyncio.gather(*(link.call("BLPOP", "nothing", 0.2) for _ in range(4)))


async def test_a_blocked_event_loop_is_no_dead_server(redis_server: RedisServer) -> None:
    async with opened(f"{redis_server.url}?timeout=0.1") as link:
        call = asyncio.ensure_future(outcome(link.call("ECHO", "a")))
        await asyncio.sleep(0)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass  # as a handler would that computes
        assert await call == b"a"


async def test_a_server_that_does_not_read_makes_callers_wait(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=20&patience=20") as link:
        await to_thread(server.pause)
        value = b"x" * 1_000_000
        calls = [asyncio.ensure_future(link.call("SET", f"k{n}", value)) for n in range(5)]
        await asyncio.sleep(0)
        # The socket is full now: these are not handed to it.
        calls += [asyncio.ensure_future(link.call("APPEND", f"k{n}", value)) for n in range(5)]
        await asyncio.sleep(0)
        await to_thread(server.unpause)
        assert await asyncio.gather(*calls) == [b"OK"] * 5 + [2_000_000] * 5


async def test_what_a_full_socket_did_not_take_is_sent_after_the_restart(server: RedisServer) -> None:
    async with opened(f"{server.url}?timeout=20&patience=20") as link:
        await to_thread(server.pause)
        value = b"x" * 10_000_000
        sent = asyncio.ensure_future(outcome(link.call("SET", "a", value)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        unsent = asyncio.ensure_future(outcome(link.call("SET", "b", "c")))
        await asyncio.sleep(0)
        await to_thread(server.kill)
        assert isinstance(await sent, ReplyLost)
        await to_thread(server.start)
        assert await unsent == b"OK"


async def test_it_comes_back_without_being_asked(server: RedisServer) -> None:
    async with opened(server.url):
        await to_thread(server.restart)
        while await connections(server) == 0:
            pass


async def test_a_server_that_is_away_is_not_besieged(server: RedisServer) -> None:
    tries = 0
    settings = parse(f"{server.url}?patience=1.5")

    async def locate() -> Address:
        nonlocal tries
        tries += 1
        return settings.nodes[0]

    link = Link(settings, locate)
    await to_thread(server.kill)
    with pytest.raises(BrokerUnavailable):
        await link.open()
    # 0.05, 0.1, 0.2, 0.4, 0.8 … seconds apart, each shortened by up to a half.
    assert 4 <= tries <= 9


async def test_a_driver_that_swallows_being_canceled_does_not_keep_the_link_open() -> None:
    asked = asyncio.Event()

    async def locate() -> Address:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BrokerUnavailable("no sentinel knows") from None
        raise AssertionError("nobody sets it")

    link = Link(parse("redis://127.0.0.1:1?patience=5"), locate)
    link.start()
    await asked.wait()
    async with asyncio.timeout(SOON):
        await link.close()
