"""Reading servers and schedulers takes a constant number of round trips."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.core.info import SchedulerInfo
from asynqio.testing import FakeClock
from tests.brokers.redis.support.fixtures import fresh_cluster, fresh_server
from tests.builders import server_info


@pytest.mark.parametrize("kind", ["server", "cluster"])
async def test_all_records_are_read_at_once(
    kind: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_server().url if kind == "server" else fresh_cluster().url
    async with open_broker(url, clock=clock) as broker:
        assert isinstance(broker, RedisBroker)
        for number in range(30):
            await broker.beat(server_info(f"server-{number}", pid=number), 60)
            await broker.beat(SchedulerInfo(f"scheduler-{number}", "host", number, clock.now()), 60)
        waves = in_flight = 0
        router: Any = (await broker._session()).redis
        command = router.command

        async def counted(*args: Any) -> Any:
            nonlocal waves, in_flight
            waves += not in_flight
            in_flight += 1
            try:
                return await command(*args)
            finally:
                in_flight -= 1

        monkeypatch.setattr(router, "command", counted)
        assert len(await broker.servers()) == 30
        assert waves <= 2
        waves = 0
        assert len(await broker.schedulers()) == 30
        assert waves <= 2
