"""The values and the id of a schedule entry."""

from __future__ import annotations

from typing import Any

import pytest

from asynqio import Task
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.errors import InvalidName, InvalidSchedule

TASK = Task("report", b"{}")


def test_the_name_is_the_id() -> None:
    assert ScheduleEntry("@daily", TASK, name="nightly").id == "nightly"
    assert ScheduleEntry("@hourly", Task("other"), name="nightly", queue="low").id == "nightly"


def test_without_a_name_the_id_is_the_same_digest_in_every_process() -> None:
    assert ScheduleEntry("@daily", TASK, queue="low").id == "597fa16d010da1b41065a30583fbc6e6"


def test_each_value_changes_the_id() -> None:
    entries = [
        ScheduleEntry("@daily", TASK),
        ScheduleEntry("@hourly", TASK),
        ScheduleEntry("@daily", TASK, zone="Europe/Berlin"),
        ScheduleEntry("@daily", Task("report2", b"{}")),
        ScheduleEntry("@daily", Task("report", b"")),
        ScheduleEntry("@daily", Task("report")),
        ScheduleEntry("@daily", TASK, queue="low"),
        ScheduleEntry("@daily", TASK, queue="low", max_retry=3),
    ]
    assert len({entry.id for entry in entries}) == len(entries)


def test_order_and_origin_of_options_do_not_change_the_id() -> None:
    one = ScheduleEntry("@daily", Task("report", queue="low"), max_retry=3)
    other = ScheduleEntry("@daily", Task("report", max_retry=3), queue="low")
    assert one.id == other.id
    assert one.id == ScheduleEntry("@daily", Task("report"), queue="low", max_retry=3, missed="skip").id


def test_equal_entries_are_equal() -> None:
    assert ScheduleEntry("@daily", TASK, queue="a") == ScheduleEntry("@daily", TASK, queue="a")
    assert ScheduleEntry("@daily", TASK, name="a") != ScheduleEntry("@daily", TASK, name="a", missed=3)
    assert ScheduleEntry("@daily", TASK) != "@daily"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"spec": ""}, "five fields"),
        ({"spec": None}, "five fields"),
        ({"task": "report"}, "needs a Task"),
        ({"zone": None}, "time zone"),
        ({"missed": "twice"}, '"skip", "once"'),
        ({"missed": 0}, "from 1"),
        ({"missed": True}, "from 1"),
        ({"missed": 1001}, "1,000"),
    ],
)
def test_invalid_values_are_rejected(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSchedule, match=says):
        ScheduleEntry(**{"spec": "@daily", "task": TASK, **changes})


@pytest.mark.parametrize("name", [" ", "a\nb", "x" * 300, 5])
def test_a_name_must_be_valid(name: Any) -> None:
    with pytest.raises(InvalidName):
        ScheduleEntry("@daily", TASK, name=name)
