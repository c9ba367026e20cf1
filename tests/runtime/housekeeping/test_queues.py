"""Housekeeping serves the queues that a store has now, on every broker."""

from __future__ import annotations

import asyncio

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.signals import pending
from asynqio.core.task.message import TaskState
from asynqio.runtime.duties import housekeeping as module
from asynqio.runtime.duties import sweeper
from asynqio.runtime.duties.housekeeping import Housekeeping
from asynqio.runtime.events import Event, TaskRecovered
from tests.builders import entry, settlement
from tests.conformance.helpers import put, state_of, take
from tests.runtime.housekeeping.conftest import Bystander
from tests.runtime.housekeeping.recording import Recording
from tests.runtime.waiting import LIMIT


@pytest.fixture
def read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_EVERY", 0.2)


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_EVERY", 1e6)


async def becomes_pending(store: Store, id: str, queue: str) -> None:
    async with asyncio.timeout(LIMIT):
        with store.watch([pending(queue)]) as watch:
            while await state_of(store, id, queue) is not TaskState.PENDING:
                await watch.wait(0.5)


async def started(housekeeping: Housekeeping, store: Store, recording: Recording) -> None:
    """Housekeeping that serves the queue "old", and has done everything there."""
    await put(store, entry("old", queue="old"))
    await housekeeping.start()
    await recording.served("old")


# --- queues that come -----------------------------------------------------------------------------


@pytest.mark.usefixtures("read_once")
async def test_delayed_tasks_of_a_noticed_queue_become_pending(
    store: Store, recording: Recording, housekeeping: Housekeeping
) -> None:
    await started(housekeeping, store, recording)
    due_at = store.clock.now() + 0.5
    await put(store, entry("a", queue="new", at=due_at))
    housekeeping.notice("new")
    await becomes_pending(store, "a", "new")
    assert store.clock.now() >= due_at
    # Later ones too, of both queues
    for queue in ("new", "old"):
        await put(store, entry("b", queue=queue, at=store.clock.now() + 0.3))
        housekeeping.notice(queue)
    for queue in ("new", "old"):
        await becomes_pending(store, "b", queue)


@pytest.mark.usefixtures("read_often")
async def test_delayed_tasks_of_a_queue_that_another_client_creates_become_pending(
    store: Store, recording: Recording, housekeeping: Housekeeping
) -> None:
    await started(housekeeping, store, recording)
    await put(store, entry("a", queue="new", at=store.clock.now() + 0.3))
    await becomes_pending(store, "a", "new")


async def test_an_empty_store_is_served_from_its_first_task_on(
    store: Store, recording: Recording, housekeeping: Housekeeping
) -> None:
    await housekeeping.start()
    await recording.until(lambda call: call.name == "queues")
    await put(store, entry("a", queue="new", at=store.clock.now() + 0.3))
    housekeeping.notice("new")
    await becomes_pending(store, "a", "new")


@pytest.mark.usefixtures("read_once")
async def test_a_task_of_a_dead_owner_in_a_new_queue_is_recovered(
    store: Store, recording: Recording, housekeeping: Housekeeping, bystander: Bystander
) -> None:
    found: list[Event] = []
    bystander.events.listen(found.append)
    await started(housekeeping, store, recording)
    await put(store, entry("a", queue="new"))
    await take(store, queues=["new"], lease=1.0, owner="dead")
    housekeeping.notice("new")
    await becomes_pending(store, "a", "new")
    await recording.until(lambda call: bystander.hooks == ["a"])
    [event] = found
    assert isinstance(event, TaskRecovered)
    assert (event.message.ref.queue, event.to) == ("new", TaskState.PENDING)


async def test_retention_is_swept_in_a_new_queue(
    store: Store,
    recording: Recording,
    housekeeping: Housekeeping,
    monkeypatch: pytest.MonkeyPatch,
    read_once: None,
) -> None:
    for one in (module, sweeper):
        monkeypatch.setattr(one, "INTERVAL", 0.2)
    await started(housekeeping, store, recording)
    await put(store, entry("a", queue="new", retention=1.0))
    [held] = await take(store, queues=["new"])
    await store.settle([settlement(held, now=store.clock.now())])
    housekeeping.notice("new")
    await recording.until(lambda call: call.name == "sweep" and call.answer.deleted == 1)
    [stats] = await store.stats(["new"])
    assert stats.completed == 0


# --- queues that go -------------------------------------------------------------------------------


@pytest.mark.usefixtures("read_often")
async def test_removed_queues_are_served_no_more(
    store: Store, recording: Recording, housekeeping: Housekeeping
) -> None:
    await put(store, entry("a", queue="other"))
    await started(housekeeping, store, recording)
    await recording.served("other")
    await store.remove_queue("old", force=True)
    await recording.until(lambda call: call.name == "expired" and call.queues == ("other",))
    # and the last one too
    await store.remove_queue("other", force=True)
    after = await recording.until(lambda call: call.name == "queues" and call.answer == [])
    await recording.until(lambda call: call.name == "queues", after)
    assert housekeeping.sections == []
    # until they are created again
    await put(store, entry("b", queue="old", at=store.clock.now() + 0.3))
    await becomes_pending(store, "b", "old")


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("queue", ["old", "new"])
async def test_a_queue_that_is_noticed_while_the_names_are_read_is_kept(
    store: Store,
    recording: Recording,
    housekeeping: Housekeeping,
    monkeypatch: pytest.MonkeyPatch,
    queue: str,
) -> None:
    await started(housekeeping, store, recording)
    # Given a reading that began before a queue was created, which may have been served before
    await store.remove_queue("old", force=True)
    recording.lists.clear()
    monkeypatch.setattr(module, "READ_EVERY", 0.0)
    housekeeping.notice("other")
    after = await recording.until(lambda call: call.name == "listing" and call.answer == [])
    monkeypatch.setattr(module, "READ_EVERY", 1e6)
    await put(store, entry("b", queue=queue, at=store.clock.now() + 0.5))
    housekeeping.notice(queue)
    # When it ends
    recording.lists.set()
    await recording.until(lambda call: call.name == "queues" and call.answer == [], after)
    # Then it is served
    await becomes_pending(store, "b", queue)


async def test_stopping_ends_all_loops(
    store: Store, recording: Recording, housekeeping: Housekeeping
) -> None:
    await started(housekeeping, store, recording)
    await housekeeping.stop()
    await housekeeping.stop()
    left = {task.get_name() for task in asyncio.all_tasks()}
    assert not left & {f"asynqio {name}" for name in ("forwarder", "recoverer", "sweeper", "housekeeping")}
    housekeeping.notice("late")


async def test_it_can_be_stopped_before_it_starts(housekeeping: Housekeeping) -> None:
    await housekeeping.stop()
