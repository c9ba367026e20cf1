"""URLs, credentials, and servers that refuse or are no gateways."""

from __future__ import annotations

import base64
import logging

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.remote.settings import RemoteSettings
from asynqio.errors import AuthenticationFailed, BrokerError, BrokerRefused, BrokerUnavailable, ConfigError
from tests.brokers.remote.support.gateway import GatewayServer

LOGIN = "ann:s%2Fecr%40t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://localhost:8080", "ws://localhost:8080"),
        ("ws://localhost:8080/", "ws://localhost:8080"),
        ("ws://localhost:8080/ws", "ws://localhost:8080"),
        ("ws://localhost", "ws://localhost:80"),
        ("wss://queue.example.org", "wss://queue.example.org:443"),
        ("wss://queue.example.org/jobs/ws", "wss://queue.example.org:443/jobs/ws"),
        (f"wss://{LOGIN}@host", "wss://host:443"),
        ("wss://host?token=s3cret", "wss://host:443"),
        ("ws://[::1]:8080?patience=2", "ws://[::1]:8080?patience=2.0"),
        ("wss://host?ca=/etc/ca.pem&verify=ca&token=x", "wss://host:443?ca=%2Fetc%2Fca.pem&verify=ca"),
    ],
)
def test_a_url_and_its_public_form(url: str, shown: str) -> None:
    broker = open_broker(url)
    assert broker.url == shown
    again = open_broker(broker.private_url)
    assert again.private_url == broker.private_url
    assert again.url == shown
    assert broker.clone().private_url == broker.private_url
    for secret in ("s3cret", "ecr", "ann"):
        assert secret not in broker.url + repr(broker)
        assert (secret in url) == (secret in broker.private_url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ws://", "name the host"),
        ("ws://:8080", "name the host"),
        ("ws://host:port", "the port is not a number"),
        ("ws://host?patience=0", "patience: give a number of seconds above 0"),
        ("ws://host?patience=nan", "patience: give a number of seconds above 0"),
        ("ws://host?verify=maybe", "verify: give full, ca or none"),
        ("ws://host?color=red", "no option 'color'"),
        ("ws://host?archive_limit=3", "archive_limit belongs to the broker URL of the gateway"),
        ("ws://ann:s3cret@host?token=s3cret", "give a user and password, or token=, not both"),
        ("ws://host?token=s3cret%0aX: y", "control characters"),
        ("ws://host?token=s3cret%C3%BC", "only ASCII"),
        ("ws://host?key=k.pem", "key= requires cert="),
        ("ws://ann:s3cret/x@host", "write / . # @ in a password as"),
    ],
)
def test_a_wrong_url_is_refused_without_its_secrets(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        open_broker(url)
    assert "s3cret" not in str(caught.value)


async def test_credentials_are_sent_in_the_header(gateway: GatewayServer) -> None:
    place = f"127.0.0.1:{gateway.port}"
    async with open_broker(f"ws://{LOGIN}@{place}"):
        login = gateway.app.headers["authorization"].removeprefix("Basic ")
        assert base64.b64decode(login) == b"ann:s/ecr@t"
    async with open_broker(f"ws://{place}?token=s3cret"):
        assert gateway.app.headers["authorization"] == "Bearer s3cret"
    async with open_broker(f"ws://{place}"):
        assert "authorization" not in gateway.app.headers


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, AuthenticationFailed, "the user, password or token is wrong or missing"),
        (403, BrokerRefused, "the user may not connect"),
        (404, BrokerRefused, "nothing is served at this path"),
        (400, BrokerRefused, "status 400: this is no asynqio gateway"),
        (302, BrokerRefused, "status 302"),
        (503, BrokerUnavailable, "status 503"),
        (429, BrokerUnavailable, "status 429"),
    ],
)
async def test_a_refusal_says_what_to_do(
    gateway: GatewayServer,
    status: int,
    kind: type[BrokerError],
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = open_broker(f"ws://{LOGIN}@127.0.0.1:{gateway.port}/{status}?patience=0.3")
    with pytest.raises(kind, match=text) as caught:
        await broker.__aenter__()
    assert type(caught.value) is kind
    for secret in ("s/ecr@t", base64.b64encode(b"ann:s/ecr@t").decode()):
        assert secret not in str(caught.value)
        for record in caplog.records:
            if record.name.startswith(("asynqio", "websockets")):  # not those of the server, in this process
                assert secret not in record.getMessage()


async def test_a_server_of_another_kind_is_refused(gateway: GatewayServer) -> None:
    broker = open_broker(f"ws://127.0.0.1:{gateway.port}/foreign")
    with pytest.raises(BrokerRefused, match="does not speak the protocol of asynqio gateways"):
        await broker.__aenter__()


async def test_a_certificate_is_checked(gateway: GatewayServer) -> None:
    broker = open_broker(f"wss://127.0.0.1:{gateway.port}?patience=0.3")
    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        await broker.__aenter__()


def test_settings_show_no_secrets() -> None:
    settings = RemoteSettings("host", 80, username="ann", password="s3cret")
    assert "s3cret" not in f"{settings} {settings!r}"


async def test_another_process_can_renew_by_the_private_url(gateway: GatewayServer, store: Store) -> None:
    """What the lease keeper does."""
    async with open_broker(gateway.url("ws")) as worker, open_broker(worker.private_url) as keeper:
        assert worker.shared
        assert await keeper.renew_owner("server-1", 30.0) == 0
