"""What counts as a request of this machine."""

from __future__ import annotations

import pytest

from asynqio.gateway.principals.loopback import obstacle


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LocalHost:8080", "127.0.0.1:8080", "[::1]", "[::1]:8080"]
)
def test_a_request_of_curl_on_this_machine(address: str, host: str) -> None:
    headers = [(b"host", host.encode()), (b"user-agent", b"curl/8.5"), (b"accept", b"*/*")]
    assert obstacle(headers, address) == ""


@pytest.mark.parametrize("address", ["", "203.0.113.9", "10.0.0.1", "localhost.example", "::2", "0.0.0.0"])
def test_an_address_of_another_machine(address: str) -> None:
    assert obstacle([(b"host", b"localhost")], address) == "the request does not come from this machine"


@pytest.mark.parametrize(
    "host",
    [
        "gateway.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0:8080",
        "localhost:8080.evil.example",
        "[::1]evil.example",
        "[::1",
        "::1",
        "user@localhost",
        "",
        "localhost:",
        "\xff",
    ],
)
@pytest.mark.requirement("SEC-WEBTLS-4")
def test_a_foreign_host(host: str) -> None:
    assert "Host" in obstacle([(b"host", host.encode("latin-1"))], "127.0.0.1")


def test_a_missing_or_repeated_host() -> None:
    assert obstacle([], "127.0.0.1")
    assert obstacle([(b"host", b"localhost"), (b"Host", b"localhost")], "127.0.0.1")


@pytest.mark.parametrize(
    "name", ["forwarded", "X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Anything", "via", "x-real-ip"]
)
@pytest.mark.requirement("SEC-WEBTLS-2")
def test_a_proxy(name: str) -> None:
    headers = [(b"host", b"localhost"), (name.encode(), b"127.0.0.1")]
    assert obstacle(headers, "127.0.0.1") == "a proxy has forwarded the request"


@pytest.mark.parametrize("origin", [b"http://localhost:8080", b"null", b"http://evil.example"])
def test_a_web_page(origin: bytes) -> None:
    assert (
        obstacle([(b"host", b"localhost"), (b"Origin", origin)], "127.0.0.1")
        == "a web page has sent the request"
    )
