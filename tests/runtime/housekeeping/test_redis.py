"""What housekeeping asks a Redis that reports all changes."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.runtime.duties.housekeeping import Housekeeping
from tests.brokers.redis.support.fixtures import fresh_server
from tests.builders import entry
from tests.conformance.helpers import put
from tests.runtime.housekeeping.recording import Recording


@pytest.fixture
def url() -> str:
    return fresh_server().url


async def test_only_queues_with_due_tasks_are_forwarded(
    store: Store, recording: Recording, housekeeping: Housekeeping
) -> None:
    await put(store, *(entry(queue=f"q{number}", at=4e9) for number in range(50)))
    await housekeeping.start()
    # When tasks become due, the last one after all queues are tracked
    asked: tuple[str, ...] = ()
    after = 0
    while asked != ("q7",):
        await put(store, entry(queue="q7", at=store.clock.now() + 0.3))
        after = await recording.until(lambda call: call.name == "forward" and call.answer.moved == 1, after)
        asked = recording.calls[after - 1].queues
    # Then the next due time of the others is still known
    await put(store, entry(queue="q8", at=store.clock.now() + 0.3))
    await recording.until(lambda call: call.name == "forward" and call.answer.moved == 1, after)
