"""Opening a connection: databases, users, TLS, and servers that refuse. Against real servers."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asynqio.brokers.redis.connection.errors import RedisError, ReplyLost
from asynqio.errors import BrokerError, BrokerRefused, BrokerUnavailable, ConfigError
from asynqio.sync import Client
from tests.brokers.redis.connection.opening import SOON, clients, connection_to, opened, outcome
from tests.brokers.redis.support.certificates import Certificates
from tests.brokers.redis.support.servers import RedisServer, password


async def test_database_and_name(redis_server: RedisServer) -> None:
    port = redis_server.port
    async with opened(f"redis://127.0.0.1:{port}/3?client_name=somebody") as connection:
        info = (await connection.call("CLIENT", "INFO")).decode()
        assert " name=somebody " in info
        assert " db=3 " in info


async def test_a_unix_socket(redis_server: RedisServer) -> None:
    async with opened(f"redis+unix://{redis_server.socket}") as connection:
        assert await connection.call("ECHO", "a") == b"a"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server with a user who may access our keys only."""
    with RedisServer(tmp_path / "guarded", users={"me": "~asynq:* +@all"}) as server:
        yield server


async def test_a_user_with_a_password(guarded: RedisServer) -> None:
    async with opened(guarded.url) as connection:
        assert await connection.call("SET", "asynq:a", 1) == b"OK"
        with pytest.raises(RedisError, match="NOPERM"):
            await connection.call("SET", "b", 1)


async def test_a_user_with_few_permissions_can_connect(server: RedisServer) -> None:
    await to_thread(server.cli, "ACL", "SETUSER", "me", "on", "nopass", "~*", "+get")
    async with opened(f"redis://me@127.0.0.1:{server.port}") as connection:
        assert await connection.call("GET", "a") is None


async def test_a_password_file_is_read_before_each_connect(guarded: RedisServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    url = f"redis://me@127.0.0.1:{guarded.port}?password_file={secret}"
    with pytest.raises(BrokerRefused, match=re.escape(str(secret))):
        await connection_to(url).open()
    await to_thread(secret.write_text, f"{password('me')}\n")
    async with opened(url) as connection:
        await to_thread(guarded.cli, "ACL", "SETUSER", "me", "resetpass", ">other")
        await to_thread(secret.write_text, "other")
        number = await connection.call("CLIENT", "ID")
        await to_thread(guarded.cli, "CLIENT", "KILL", "USER", "me")
        assert await outcome(connection.call("CLIENT", "ID")) != number
    client = Client(url)
    await to_thread(client.open)
    await to_thread(client.close)


@pytest.mark.parametrize(
    ("login", "advice"),
    [
        (":sesame@", "the user name or password is wrong"),
        ("me:sesame@", "the user name or password is wrong"),
        ("", "a password is required: write redis://:password@host"),
    ],
)
async def test_a_refused_login_fails_at_once_with_the_reason(
    server: RedisServer, login: str, advice: str
) -> None:
    await to_thread(server.cli, "CONFIG", "SET", "requirepass", "open")
    connection = connection_to(f"redis://{login}127.0.0.1:{server.port}?patience=60")
    async with asyncio.timeout(SOON):
        with pytest.raises(BrokerError, match=advice) as caught:
            await connection.open()
    assert not isinstance(caught.value, BrokerUnavailable)
    assert "sesame" not in repr(caught.value)
    # Closing twice is allowed.
    await connection.close()


async def test_a_refused_login_is_retried_with_the_longest_delay(server: RedisServer) -> None:
    async with opened(server.url) as connection:
        await to_thread(server.cli, "CONFIG", "SET", "requirepass", "open")
        before = (await to_thread(server.cli, "INFO", "stats"))["total_connections_received"]
        await to_thread(server.cli, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        error = await outcome(connection.call("GET", "a"))
        while isinstance(error, ReplyLost):
            error = await outcome(connection.call("GET", "a"))
        assert "a password is required" in str(error)
        began = time.monotonic()
        # Each of these waits for the next attempt, and fails with it.
        for _ in range(2):
            assert "a password is required" in str(await outcome(connection.call("GET", "a")))
        tries = (await to_thread(server.cli, "INFO", "stats"))["total_connections_received"] - before
        assert time.monotonic() - began >= 1.0
        assert tries <= 6


async def test_a_database_that_does_not_exist(redis_server: RedisServer) -> None:
    connection = connection_to(f"redis://127.0.0.1:{redis_server.port}/999")
    with pytest.raises(BrokerError, match="the database does not exist"):
        await connection.open()


async def test_a_server_that_has_reached_maxclients(server: RedisServer) -> None:
    async with opened(server.url):
        await to_thread(server.cli, "CONFIG", "SET", "maxclients", 2)
        connection = connection_to(f"{server.url}?patience=0.2")
        said = ""
        while "maxclients" not in said:  # or a connection reset, if that was faster
            with pytest.raises(BrokerUnavailable) as caught:
                await connection.open()
            said = str(caught.value)


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that requires a client certificate; its own is for localhost and 127.0.0.1."""
    tls = Certificates(tmp_path / "tls")
    with RedisServer(tmp_path / "encrypted", "tls-auth-clients yes", tls=tls) as server:
        yield server


async def test_tls_with_our_own_authority_and_a_client_certificate(encrypted: RedisServer) -> None:
    tls = encrypted.tls
    assert tls
    ours = f"cert={tls.cert}&key={tls.key}"
    for url in (encrypted.url, f"rediss://localhost:{encrypted.port}"):
        async with opened(f"{url}?ca={tls.ca}&{ours}") as connection:
            assert await connection.call("ECHO", "a" * 1_000_000) == b"a" * 1_000_000
    async with opened(f"{encrypted.url}?{ours}&verify=none") as connection:
        assert await connection.call("ECHO", "a") == b"a"
    with pytest.raises(BrokerError, match="give the authority with ca="):
        await connection_to(f"{encrypted.url}?{ours}").open()
    with pytest.raises(ConfigError, match="cannot be used"):
        await connection_to(f"{encrypted.url}?ca={tls.ca}.missing").open()
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        await connection_to(f"{encrypted.url}?ca={tls.ca}&patience=0.2").open()
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        await connection_to(f"redis://127.0.0.1:{encrypted.port}?patience=0.2").open()


async def test_a_certificate_for_another_host(encrypted: RedisServer) -> None:
    tls = encrypted.tls
    assert tls
    other = f"rediss://127.1:{encrypted.port}?ca={tls.ca}&cert={tls.cert}&key={tls.key}"
    with pytest.raises(BrokerError, match="verify=ca"):
        await connection_to(other).open()
    async with opened(f"{other}&verify=ca") as connection:
        assert await connection.call("ECHO", "a") == b"a"


@pytest.fixture
def privately_certified(tmp_path: Path) -> Iterator[RedisServer]:
    """A server whose authority lacks the extension `keyUsage`, as many private ones do."""
    tls = Certificates(tmp_path / "tls", authority=["basicConstraints=critical,CA:TRUE"])
    with RedisServer(tmp_path / "private", tls=tls) as server:
        yield server


async def test_an_authority_without_the_extensions_that_python_3_13_requires(
    privately_certified: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ssl.create_default_context

    def create_strict(**options: Any) -> ssl.SSLContext:
        context = create(**options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create_strict)
    tls = privately_certified.tls
    assert tls
    url = f"{privately_certified.url}?ca={tls.ca}"
    with pytest.raises(BrokerError, match=r"extensions that Python 3\.13 requires with verify=ca"):
        await connection_to(url).open()
    async with opened(f"{url}&verify=ca") as connection:
        assert await connection.call("ECHO", "a") == b"a"
    # A certificate of another authority is still refused.
    with pytest.raises(BrokerError, match="not trusted"):
        await connection_to(f"{privately_certified.url}?ca={tls.cert}&verify=ca").open()


async def test_tls_to_a_server_without_it(redis_server: RedisServer) -> None:
    with pytest.raises(BrokerUnavailable, match="TLS"):
        await connection_to(f"rediss://127.0.0.1:{redis_server.port}?patience=0.4&connect_timeout=0.1").open()


async def test_a_server_that_is_not_redis(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1") as web:
        port = web.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnavailable, match="protocol error"):
            await connection_to(f"redis://127.0.0.1:{port}?patience=0.2").open()


async def test_a_server_that_closes_every_connection() -> None:
    visits = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        await reader.readuntil(b"PING\r\n")
        writer.write(b"+OK\r\n+PONG\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1") as inn:
        port = inn.sockets[0].getsockname()[1]
        connection = connection_to(f"redis://127.0.0.1:{port}?patience=0.4")
        connection.start()
        errors = [await outcome(connection.call("ECHO", number)) for number in range(3)]
        await connection.close()
    assert all(isinstance(error, BrokerUnavailable) for error in errors)
    assert visits <= 12


async def test_a_server_that_is_not_running(server: RedisServer) -> None:
    await to_thread(server.kill)
    with pytest.raises(BrokerUnavailable, match=r"Connection refused.*check that it is running") as caught:
        await connection_to(f"{server.url}?patience=0.2").open()
    assert str(server.port) in str(caught.value)


async def test_calls_before_open_and_after_close_raise(redis_server: RedisServer) -> None:
    connection = connection_to(redis_server.url)
    with pytest.raises(BrokerUnavailable, match="is not open"):
        connection.call("PING")
    await connection.close()
    await connection.open()
    under_way = asyncio.ensure_future(outcome(connection.call("BLPOP", "nothing", 0)))
    await asyncio.sleep(0)
    await connection.close()
    assert isinstance(await under_way, BrokerUnavailable)
    with pytest.raises(BrokerUnavailable, match="is not open"):
        connection.call("PING")
    await connection.open()
    assert await connection.call("ECHO", "a") == b"a"
    await connection.close()
    assert await clients(redis_server) == 0
