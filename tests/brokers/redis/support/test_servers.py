"""The test servers behave as other tests assume."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.brokers.redis.support.certificates import Certificates
from tests.brokers.redis.support.fixtures import redis_url
from tests.brokers.redis.support.servers import MissingProgram, RedisServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a server of this test."""
    return tmp_path / "redis"


def client(url: str, **options: Any) -> redis.Redis:
    """An ordinary client of the server."""
    return redis.Redis.from_url(url, decode_responses=True, **options)


def test_a_killed_server_loses_its_data_and_restarts_on_its_port(folder: Path) -> None:
    with RedisServer(folder) as server, client(server.url) as caller:
        caller.set("key", "value")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            caller.ping()
        server.start()
        assert caller.get("key") is None


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_server_with_aof_keeps_its_data(folder: Path, end: str) -> None:
    with RedisServer(folder, aof="always") as server, client(server.url) as caller:
        caller.set("key", "value")
        getattr(server, end)()
        server.start()
        assert caller.get("key") == "value"


def test_another_server_can_continue_with_the_data(folder: Path) -> None:
    with RedisServer(folder, aof="always") as server:
        server.cli("SET", "key", "value")
    with RedisServer(folder, aof="everysec") as server, client(server.url) as caller:
        assert caller.get("key") == "value"


def test_a_frozen_server_replies_later(folder: Path) -> None:
    with RedisServer(folder) as server, client(server.url, socket_timeout=0.05, retry=None) as caller:
        caller.set("key", "value")
        server.pause()
        with pytest.raises(redis.TimeoutError):
            caller.get("key")
        server.unpause()
        assert server.cli("GET", "key") == "value"


def test_servers_that_choose_the_same_port_get_different_ones(folder: Path) -> None:
    with RedisServer(folder / "one") as first:
        second = RedisServer(folder / "two")
        second.port = first.port
        with second:
            assert second.port != first.port
            assert second.cli("PING")


def test_a_user_has_the_permissions_of_its_acl(folder: Path) -> None:
    rights = "~asynq:* &asynq* +@all -@dangerous"
    with RedisServer(folder, users={"worker": rights}) as server, client(server.url) as worker:
        worker.set("asynq:key", "value")
        with pytest.raises(redis.exceptions.NoPermissionError):
            worker.set("other", "value")
        with pytest.raises(redis.exceptions.NoPermissionError):
            worker.flushall()
        assert server.cli("GET", "asynq:key") == "value"


def test_a_user_name_is_required(folder: Path) -> None:
    with (
        RedisServer(folder, users={"worker": "~* +@all"}) as server,
        client(f"redis://127.0.0.1:{server.port}") as anonymous,
        pytest.raises(redis.AuthenticationError),
    ):
        anonymous.ping()


def test_a_tls_server_requires_its_authority(folder: Path) -> None:
    paths = Certificates(folder / "tls")
    with RedisServer(folder, tls=paths) as server:
        with client(server.url) as stranger, pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY"):
            stranger.ping()
        with client(server.url, ssl_ca_certs=str(paths.ca)) as caller:
            assert caller.ping()


def test_a_tls_server_can_require_a_client_certificate(folder: Path) -> None:
    paths = Certificates(folder / "tls")
    authority = str(paths.ca)
    shown = {"ssl_certfile": str(paths.cert), "ssl_keyfile": str(paths.key)}
    with RedisServer(folder, "tls-auth-clients yes", tls=paths) as server:
        with client(server.url, ssl_ca_certs=authority) as anonymous, pytest.raises(redis.ConnectionError):
            anonymous.ping()
        with client(server.url, ssl_ca_certs=authority, **shown) as caller:
            assert caller.ping()


def test_the_error_of_a_failed_start_names_the_reason(folder: Path) -> None:
    with pytest.raises(AssertionError, match="Bad directive"):
        RedisServer(folder, "nonsense yes").start()


def test_a_missing_program_is_named(folder: Path) -> None:
    with pytest.raises(MissingProgram, match="apt-get install no-such-server"):
        RedisServer(folder, program="no-such-server").start()


def test_the_shared_server_is_empty(redis_server: RedisServer) -> None:
    assert redis_server.cli("DBSIZE") == 0
    redis_server.cli("SET", "key", "value")
    redis_server.flush()
    assert redis_server.cli("DBSIZE") == 0


async def test_a_shared_server_can_be_used_from_an_event_loop() -> None:
    assert redis_url().startswith("redis://127.0.0.1:")


@pytest.mark.skipif(shutil.which("valkey-server") is None, reason="valkey-server is not on the PATH")
def test_valkey_works_too(folder: Path) -> None:
    with RedisServer(folder, program="valkey-server", aof="always") as server, client(server.url) as caller:
        caller.set("key", "value")
        server.kill()
        server.start()
        assert caller.get("key") == "value"
        assert "valkey_version" in server.cli("INFO", "server")
