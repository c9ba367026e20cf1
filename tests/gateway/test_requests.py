"""What every request has to pass, and what every response has."""

from __future__ import annotations

import base64
import uuid

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from asynqio import ConfigError
from asynqio.gateway import GatewaySettings, create_app
from asynqio.gateway.principals.credentials import Basic
from tests.gateway.asynq.client import ProtocolClient
from tests.gateway.conftest import StartGateway

USER = Basic("ann", "correct horse battery")


@pytest.fixture
def url() -> str:
    """The store does not matter here."""
    return f"memory://{uuid.uuid4().hex}"


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"}


@pytest.mark.requirement("SEC-GW-2")
def test_an_application_without_authentication_is_refused() -> None:
    with pytest.raises(ConfigError, match="no authentication is configured"):
        create_app()
    create_app(settings=GatewaySettings(insecure_no_auth=True))
    create_app(settings=GatewaySettings(user=USER))


@pytest.mark.requirement("SEC-GW-1")
async def test_one_user_is_let_in_by_the_password_alone(start_gateway: StartGateway) -> None:
    address = (await start_gateway(user=USER)).address
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        for headers in ({}, basic("ann", "wrong"), basic("bob", USER.password), {"Authorization": "Basic %"}):
            refused = await http.get("/api/queues", headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
            with pytest.raises(InvalidStatus) as upgrade:
                async with ProtocolClient(address, additional_headers=headers):
                    pass
            assert upgrade.value.response.status_code == 401
        allowed = await http.get("/api/queues", headers=basic("ann", USER.password))
        assert allowed.status_code == 200
        assert (await http.get("/health")).status_code == 200
    async with ProtocolClient(address, additional_headers=basic("ann", USER.password)) as client:
        assert await client.call("ping") == {"type": "pong"}


@pytest.mark.requirement("SEC-WEBTLS-4")
async def test_a_foreign_host_is_refused(start_gateway: StartGateway) -> None:
    address = (await start_gateway(allowed_hosts=("127.0.0.1", "gateway.example"))).address
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        assert (await http.get("/health", headers={"Host": "evil.example"})).status_code == 421
        assert (await http.get("/health", headers={"Host": "GATEWAY.example:80"})).status_code == 200
    with pytest.raises(InvalidStatus) as refused:
        async with ProtocolClient(address, additional_headers={"Host": "evil.example"}):
            pass
    assert refused.value.response.status_code in (400, 421)


@pytest.mark.requirement("SEC-WEB-3")
async def test_every_response_has_its_headers(start_gateway: StartGateway) -> None:
    address = (await start_gateway()).address
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        for path in ("/health", "/api/queues", "/api/queues/nix"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert len(headers["x-request-id"]) == 32


@pytest.mark.requirement("SEC-WEB-5")
async def test_no_other_origin_is_allowed(start_gateway: StartGateway) -> None:
    address = (await start_gateway()).address
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        for response in (
            allowed := await http.options("/api/v1/jobs", headers=preflight),
            await http.get("/api/queues", headers={"Origin": "https://evil.example"}),
        ):
            assert not any(name.startswith("access-control-") for name in response.headers)
        assert (allowed.status_code, allowed.headers["allow"]) == (204, "OPTIONS, POST")


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.requirement("SEC-WEB-4")
async def test_a_page_of_another_origin_changes_nothing(start_gateway: StartGateway) -> None:
    address = (await start_gateway()).address
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        for headers in FOREIGN:
            refused = await http.post("/api/queues/default/pause", headers=headers)
            assert refused.status_code == 403
            assert refused.json()["type"].endswith("#cross-origin")
        assert (await http.get("/api/queues")).json() == {"queues": []}
        own = {"Origin": f"http://{address}", "Sec-Fetch-Site": "same-origin"}
        assert (await http.post("/api/queues/default/pause", headers=own)).status_code == 200


@pytest.mark.requirement("SEC-WEB-6")
async def test_a_page_of_another_origin_opens_no_websocket(start_gateway: StartGateway) -> None:
    address = (await start_gateway()).address
    for headers in FOREIGN:
        with pytest.raises(InvalidStatus) as refused:
            async with ProtocolClient(address, additional_headers=headers):
                pass
        assert refused.value.response.status_code == 403
    async with ProtocolClient(address, additional_headers={"Origin": f"http://{address}"}) as client:
        assert await client.call("ping") == {"type": "pong"}


@pytest.mark.requirement("SEC-WEBTLS-2")
async def test_forwarding_headers_count_from_trusted_proxies_only(
    start_gateway: StartGateway, caplog: pytest.LogCaptureFixture
) -> None:
    for trusted, seen in (((), "127.0.0.1"), (("127.0.0.1",), "203.0.113.9")):
        caplog.clear()
        address = (await start_gateway(user=USER, trusted_proxies=trusted)).address
        async with httpx.AsyncClient(base_url=f"http://{address}") as http:
            headers = {**basic("ann", "wrong"), "X-Forwarded-For": "203.0.113.9"}
            assert (await http.get("/api/queues", headers=headers)).status_code == 401
        [record] = [one for one in caplog.records if getattr(one, "event", "") == "authentication_failed"]
        assert vars(record)["address"] == seen
