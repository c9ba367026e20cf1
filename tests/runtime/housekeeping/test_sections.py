"""The cost of many queues: what happens to one queue costs calls about one section."""

from __future__ import annotations

import logging
from random import Random

import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.results import Expired
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.duties import housekeeping as module
from asynqio.runtime.duties.housekeeping import LONGEST_INTERVAL, SECTION, Housekeeping
from asynqio.runtime.duties.sweeper import INTERVAL
from asynqio.testing import Flaky
from tests.builders import entry
from tests.conformance.helpers import put
from tests.runtime.housekeeping.conftest import Bystander
from tests.runtime.housekeeping.recording import Recording


@pytest.fixture
def url() -> str:
    return "memory://"


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_EVERY", 1e6)


def names(count: int) -> list[str]:
    return [f"q{number:05}" for number in range(count)]


async def filled(recording: Recording, housekeeping: Housekeeping, queues: list[str]) -> None:
    await put(recording.broker, *(entry(queue=queue) for queue in queues))
    await housekeeping.start()
    for queue in queues[::SECTION]:
        await recording.served(queue)


async def test_a_new_queue_costs_calls_about_one_section(
    recording: Recording, housekeeping: Housekeeping
) -> None:
    queues = names(10 * SECTION + 5)
    await filled(recording, housekeeping, queues)
    before = {call.queues for call in recording.calls}
    assert {len(one) for one in before} == {0, SECTION, 5}
    # When one queue is added
    number = len(recording.calls)
    housekeeping.notice("new")
    await recording.served("new")
    # Then only the last section has changed, and the store was not asked for all names
    changed = {call.queues for call in recording.calls[number:]} - before
    assert changed == {(*queues[-5:], "new")}
    assert not [call for call in recording.calls[number:] if call.name == "queues"]
    assert len(housekeeping.sections) == 11


async def test_a_known_queue_costs_a_look_up(recording: Recording, housekeeping: Housekeeping) -> None:
    await filled(recording, housekeeping, ["a", "b"])
    for _ in range(3):
        housekeeping.notice("b")
    assert not housekeeping._changed.is_set()
    assert housekeeping._noticed == set()


async def test_many_new_queues_are_collected(recording: Recording, housekeeping: Housekeeping) -> None:
    await filled(recording, housekeeping, ["a"])
    new = names(2 * SECTION)
    for queue in new:
        housekeeping.notice(queue)
    await recording.served(*new)
    lists = {call.queues for call in recording.calls} - {(), ("a",)}
    assert sorted(len(queues) for queues in lists) == [1, SECTION, SECTION]


async def test_new_queues_take_the_places_of_removed_ones(
    recording: Recording, housekeeping: Housekeeping
) -> None:
    queues = names(3 * SECTION)
    await filled(recording, housekeeping, queues)
    gone = [queues[0], *queues[SECTION : 2 * SECTION]]
    await housekeeping._change([], gone)
    assert [len(section.queues) for section in housekeeping.sections] == [SECTION - 1, SECTION]
    await housekeeping._change(["x", "y"], [])
    assert [len(section.queues) for section in housekeeping.sections] == [SECTION, SECTION, 1]
    assert housekeeping.sections[0].queues == (*queues[1:SECTION], "x")
    await recording.served("x", "y")


async def test_many_queues_are_swept_less_often(
    recording: Recording, housekeeping: Housekeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEPT_PER_SECOND", 10)

    def intervals() -> set[float]:
        return {section.sweeper.interval for section in housekeeping.sections}

    await filled(recording, housekeeping, names(50))
    assert intervals() == {INTERVAL}
    await housekeeping._change([f"more-{number}" for number in range(150)], [])
    assert intervals() == {20.0}
    await housekeeping._change([f"again-{number}" for number in range(500)], [])
    assert intervals() == {LONGEST_INTERVAL}


async def test_a_store_that_is_away_is_reported_once_per_duty(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"SECTION": 2, "REPORT_EVERY": 1e6, "READ_EVERY": 0.05}.items():
        monkeypatch.setattr(module, name, value)
    flaky = Flaky(open_broker("memory://"))
    recording = Recording(flaky.broker)
    queues = names(20)
    housekeeping = Housekeeping(recording.broker, Bystander(flaky.broker), Random(1), lease=0.1)
    async with flaky.broker:
        # Given ten sections, and a store that is away
        await filled(recording, housekeeping, queues)
        caplog.set_level(logging.DEBUG, "asynqio.server")
        error = BrokerUnavailable("away")
        flaky.fail(error=error)
        number = len(recording.calls)
        for _ in range(40):
            number = await recording.until(lambda call: call[::2] == ("expired", error), number)
        # When it is back, all sections are served again
        flaky.recover()
        for queue in queues:
            await recording.until(
                lambda call: queue in call.queues and isinstance(call.answer, Expired),  # noqa: B023
                number,
            )
        await housekeeping.stop()
    shown = [record for record in caplog.records if record.levelno >= logging.WARNING]
    failed = [record for record in shown if vars(record)["event"] == "service_failed"]
    assert [vars(record)["service"] for record in failed].count("recoverer") == 1
    hidden = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert len([record for record in hidden if vars(record)["event"] == "service_failed"]) > 10
