"""The `ws://` broker through the whole gateway: credentials, tenants, workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio import App
from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.errors import AuthenticationFailed
from asynqio.gateway.settings import GatewaySettings
from tests.builders import entry
from tests.conformance.helpers import put
from tests.gateway.running import RunningGateway

#: Seconds after which a wait fails: only a broken build gets there.
LIMIT = 30.0


async def test_a_worker_runs_through_the_gateway(gateway: RunningGateway) -> None:
    app = App(f"ws://{gateway.address}", retention=60)

    @app.task("double")
    async def double(number: int) -> int:
        return 2 * number

    async with app, app.running(shutdown_timeout=1):
        handles = [await double.enqueue(number) for number in range(20)]
        results = [await asyncio.wait_for(handle.result(), LIMIT) for handle in handles]
    assert results == [2 * number for number in range(20)]


@pytest.fixture
def for_tenants(tmp_path: Path, url: str) -> Iterator[RunningGateway]:
    """A gateway for two tenants."""
    file = tmp_path / "tenants.json"
    tenants = [
        {"id": name, "username": name, "password": f"password of {name}", "queue_prefix": prefix}
        for name, prefix in (("ann", "t"), ("bob", "t1"))
    ]
    file.write_text(json.dumps(tenants))
    file.chmod(0o600)
    with RunningGateway(url, GatewaySettings(standalone=True, tenant_config=str(file))) as gateway:
        yield gateway


@pytest.mark.requirement("SEC-GW-6")
async def test_tenants_see_only_their_own_tasks(for_tenants: RunningGateway, store: Store) -> None:
    def url(name: str) -> str:
        return f"ws://{name}:password%20of%20{name}@{for_tenants.address}"

    async with open_broker(url("ann")) as ann, open_broker(url("bob")) as bob:
        await put(ann, entry("a"), entry("b", queue="low"))
        assert await ann.queues() == ["default", "low"]
        assert await bob.queues() == []
        assert await bob.dequeue(["default", "low"], 9, 30.0, "server") == []
        [lease] = await ann.dequeue(["low"], 9, 30.0, "server")
        assert lease.message.ref == ("low", "b")
        assert await ann.renew([lease], 60.0) == [True]
        assert await bob.renew([lease], 60.0) == [False]
    assert await store.queues() == ["t:default", "t:low"]


@pytest.mark.requirement("SEC-GW-1")
async def test_wrong_credentials_are_refused(for_tenants: RunningGateway) -> None:
    for login in ("ann:wrong@", "eve:password@", ""):
        with pytest.raises(AuthenticationFailed, match="status 401"):
            async with open_broker(f"ws://{login}{for_tenants.address}"):
                pass
