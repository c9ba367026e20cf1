"""Housekeeping on every broker, with the system clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.core.lifecycle import Lease, Outcome, Policy, Settlement, decide
from asynqio.runtime.duties.housekeeping import Housekeeping
from asynqio.runtime.events import Events
from tests.runtime.housekeeping.recording import Recording


class Bystander:
    """A process that runs no tasks."""

    def __init__(self, store: Store) -> None:
        self._clock = store.clock
        self.events = Events()
        self.hooks: list[str] = []

    def is_running(self, lease: Lease) -> bool:
        return False

    def decide(self, lease: Lease, outcome: Outcome) -> Settlement:
        return decide(lease, outcome, self._clock.now(), Policy())

    async def run_hooks(self, outcome: Outcome, settlement: Settlement) -> None:
        self.hooks.append(settlement.message.id)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with open_broker(url) as store:
        yield store


@pytest.fixture
def recording(store: Store) -> Recording:
    return Recording(store)


@pytest.fixture
def bystander(store: Store) -> Bystander:
    return Bystander(store)


@pytest.fixture
async def housekeeping(recording: Recording, bystander: Bystander) -> AsyncIterator[Housekeeping]:
    """Not started yet; stopped at the end."""
    made = Housekeeping(recording.broker, bystander, Random(1), lease=30.0)
    yield made
    await made.stop()
