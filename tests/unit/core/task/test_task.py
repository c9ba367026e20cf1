"""A task as its producer writes it: every option, good and wrong, and how the layers merge."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.retry import (
    RETRY_HEADER,
    ExponentialRetry,
    FixedRetry,
    GoRetry,
    RetryByException,
    RetryFunction,
    from_header,
)
from asynqio.core.task.message import TaskState
from asynqio.core.task.option_values import MAX_NAME, MAX_RETRY_LIMIT, check_name
from asynqio.core.task.options import DEFAULT_TIMEOUT, UNTIL_TTL, TaskOptions, merge
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Entry, Task, make_entry, new_id
from asynqio.core.task.unique import OnDuplicate, UniqueUntil, unique_key
from asynqio.errors import (
    ConflictingOptions,
    InvalidName,
    InvalidOption,
    InvalidTask,
    NotSerializable,
    PayloadTooLarge,
)

NOW = 1_700_000_000.0
UTC = dt.UTC


def made(payload: bytes | None = None, **options: Any) -> Entry:
    return make_entry(Task("email:send", payload), TaskOptions(**options), NOW)  # type: ignore[typeddict-item]


# --- defaults and good values ---------------------------------------------------------------------------


def test_a_task_without_options_gets_gos_defaults() -> None:
    one = made(b"x")
    message = one.message
    assert (one.state, one.process_at, one.unique_ttl) == (TaskState.PENDING, 0.0, 0.0)
    assert (message.type, message.queue, message.payload) == ("email:send", "default", b"x")
    assert (message.max_retry, message.timeout, message.deadline) == (25, DEFAULT_TIMEOUT, 0.0)
    assert (message.unique_key, message.group, message.retention, message.headers) == ("", "", 0.0, {})
    assert uuid.UUID(message.id).version == 7


def test_no_options_and_defaults_spelled_out_make_the_same_task() -> None:
    plain, spelled = made(b"x", task_id="a"), made(b"x", task_id="a", queue="default", max_retry=25)
    assert plain == spelled


def test_every_task_has_an_id_of_its_own() -> None:
    assert (
        len({made().message.id for _ in range(100)} | {made(queue="q").message.id for _ in range(100)}) == 200
    )


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"queue": "critical"}, "queue", "critical"),
        ({"task_id": "order-17"}, "id", "order-17"),
        ({"group": "news"}, "group", "news"),
        ({"max_retry": 0}, "max_retry", 0),
        ({"max_retry": MAX_RETRY_LIMIT}, "max_retry", MAX_RETRY_LIMIT),
        ({"timeout": 30}, "timeout", 30.0),
        ({"timeout": 0.5}, "timeout", 0.5),
        ({"timeout": dt.timedelta(minutes=2)}, "timeout", 120.0),
        ({"deadline": NOW + 60}, "deadline", NOW + 60),
        ({"deadline": dt.datetime.fromtimestamp(NOW + 60, UTC)}, "deadline", NOW + 60),
        ({"deadline": NOW + 60}, "timeout", 0.0),
        ({"deadline": NOW + 60, "timeout": 5}, "timeout", 5.0),
        ({"retention": 0}, "retention", 0.0),
        ({"retention": 0.25}, "retention", 0.25),
        ({"retention": dt.timedelta(days=1)}, "retention", 86_400.0),
        ({"headers": {}}, "headers", {}),
        ({"headers": {"traceparent": "00-1", "": ""}}, "headers", {"traceparent": "00-1", "": ""}),
        ({"headers": MappingProxyType({"a": "b"})}, "headers", {"a": "b"}),
        ({"unique": 60}, "unique_key", unique_key("default", "email:send", None)),
        ({"unique": 60, "queue": "q"}, "unique_key", unique_key("q", "email:send", None)),
    ],
)
def test_an_option_lands_in_the_message(options: dict[str, Any], field: str, value: object) -> None:
    assert getattr(made(**options).message, field) == value


@pytest.mark.parametrize(
    ("options", "state", "process_at"),
    [
        ({"process_at": NOW + 5}, TaskState.SCHEDULED, NOW + 5),
        ({"process_at": dt.datetime.fromtimestamp(NOW + 5, UTC)}, TaskState.SCHEDULED, NOW + 5),
        ({"process_at": NOW + 0.5}, TaskState.SCHEDULED, NOW + 0.5),
        ({"process_in": 5}, TaskState.SCHEDULED, NOW + 5),
        ({"process_in": dt.timedelta(seconds=5)}, TaskState.SCHEDULED, NOW + 5),
        ({"process_at": NOW}, TaskState.PENDING, 0.0),
        ({"process_at": NOW - 5}, TaskState.PENDING, 0.0),
        ({"process_in": 0}, TaskState.PENDING, 0.0),
        ({"group": "g"}, TaskState.AGGREGATING, 0.0),
        ({"group": "g", "process_in": 5}, TaskState.SCHEDULED, NOW + 5),
        ({"group": "g", "process_at": NOW - 5}, TaskState.AGGREGATING, 0.0),
    ],
)
def test_due_later_is_scheduled_else_in_a_group_is_aggregating_else_pending(
    options: dict[str, Any], state: TaskState, process_at: float
) -> None:
    one = made(**options)
    assert (one.state, one.process_at) == (state, process_at)


@pytest.mark.parametrize(
    ("options", "ttl"),
    [
        ({"unique": 1}, 1.0),
        ({"unique": 1.5}, 1.5),
        ({"unique": dt.timedelta(hours=1)}, 3600.0),
        ({"unique": 60, "process_in": 100}, 160.0),
        # without a time of its own: longer than all retries take
        ({"unique_until": "finished"}, UNTIL_TTL),
        ({"unique_until": "started", "process_in": 100}, UNTIL_TTL + 100),
        ({"unique_key": "x"}, UNTIL_TTL),
        ({"unique_key": "x", "unique": 60}, 60.0),
        ({"unique": 60, "unique_until": "expired", "process_in": 5}, 65.0),
        ({"on_duplicate": "reject"}, 0.0),
        ({"unique": 60, "process_at": NOW + 100}, 160.0),
        ({"unique": 60, "process_at": NOW - 100}, 60.0),
    ],
)
def test_a_lock_is_held_for_its_time_and_until_a_scheduled_task_is_due(
    options: dict[str, Any], ttl: float
) -> None:
    assert made(**options).unique_ttl == ttl


def test_a_retry_policy_travels_in_a_header_beside_the_others() -> None:
    policy = ExponentialRetry(first=2)
    headers = made(retry=policy, headers={"a": "b"}).message.headers
    assert headers["a"] == "b"
    assert from_header(headers[RETRY_HEADER]) == policy


def test_making_an_entry_leaves_the_callers_headers_alone() -> None:
    mine = {"a": "b"}
    made(retry=FixedRetry(1), headers=mine)
    assert mine == {"a": "b"}


def test_a_lock_by_a_text_has_it_in_the_payloads_place() -> None:
    one = made(b"payload", unique_key="text")
    assert one.lock == one.message.unique_key == unique_key("default", "email:send", b"text")
    assert (one.throttle, one.on_duplicate, one.replace_finished) == ("", OnDuplicate.REJECT, False)


def test_the_lock_of_a_throttle_is_not_the_tasks_own() -> None:
    one = made(b"x", unique=60, unique_until="expired")
    assert one.lock == one.throttle == unique_key("default", "email:send", b"x")
    assert (one.message.unique_key, one.message.unique_until) == ("", UniqueUntil.FINISHED)


@pytest.mark.parametrize("on_duplicate", ["replace", "reschedule"])
def test_a_throttle_has_no_duplicates_that_change_anything(on_duplicate: str) -> None:
    with pytest.raises(ConflictingOptions, match="a throttle refuses every task until its time is over"):
        made(unique=60, unique_until="expired", on_duplicate=on_duplicate)


def test_modes_land_in_message_and_entry() -> None:
    one = made(unique=60, unique_until="ended", on_duplicate="reschedule", replace_finished=True)
    assert one.message.unique_until is UniqueUntil.ENDED
    assert (one.on_duplicate, one.replace_finished) == (OnDuplicate.RESCHEDULE, True)


def test_the_longest_retrying_ends_before_the_lock_does() -> None:
    assert sum(GoRetry().delay(n, ValueError(), made().message, 1.0) for n in range(25)) < UNTIL_TTL


# --- wrong values: each its own error, and words that help -----------------------------------------------

NAIVE = dt.datetime(2030, 1, 1)
WRONG: list[tuple[dict[str, Any], type[InvalidTask], str]] = [
    # names
    ({"queue": ""}, InvalidName, "queue '' must not be blank"),
    ({"queue": "  \t"}, InvalidName, "queue .* must not be blank"),
    ({"queue": None}, InvalidName, "queue None must be a string, not a NoneType"),
    ({"queue": 5}, InvalidName, "queue 5 must be a string, not an int"),
    ({"queue": b"q"}, InvalidName, "must be a string, not a bytes"),
    ({"queue": "a\nb"}, InvalidName, "must not contain control characters"),
    ({"queue": "a\x00b"}, InvalidName, "must not contain control characters"),
    ({"queue": "a\x9bb"}, InvalidName, "must not contain control characters"),
    ({"queue": "half \ud83d"}, InvalidName, "must be valid Unicode"),
    ({"queue": "q" * 256}, InvalidName, "has 256 characters, at most 255 are allowed"),
    ({"task_id": ""}, InvalidName, "task_id '' must not be blank"),
    ({"task_id": 17}, InvalidName, "task_id 17 must be a string"),
    ({"task_id": uuid.UUID(int=0)}, InvalidName, "must be a string, not an? UUID"),
    ({"task_id": "a\rb"}, InvalidName, "control characters"),
    ({"group": ""}, InvalidName, "group '' must not be blank"),
    ({"group": None}, InvalidName, "group None must be a string"),
    ({"group": "x" * 1000}, InvalidName, "has 1000 characters"),
    # durations
    ({"timeout": 0}, InvalidOption, "timeout=0 must be more than 0"),
    ({"timeout": -1}, InvalidOption, "timeout=-1 must be more than 0"),
    ({"timeout": "30"}, InvalidOption, "timeout='30' must be a number of seconds or a timedelta"),
    ({"timeout": None}, InvalidOption, "timeout=None must be a number of seconds"),
    ({"timeout": True}, InvalidOption, "timeout=True must be a number of seconds"),
    ({"timeout": float("nan")}, InvalidOption, "timeout=nan must be"),
    ({"timeout": float("inf")}, InvalidOption, "timeout=inf is too long: at most"),
    ({"timeout": 10**400}, InvalidOption, "is too long: at most"),
    ({"timeout": dt.timedelta(seconds=-5)}, InvalidOption, "must be more than 0"),
    ({"retention": -1}, InvalidOption, "retention=-1 must be from 0 up"),
    ({"retention": "1h"}, InvalidOption, "retention='1h' must be a number of seconds"),
    ({"retention": 1e11}, InvalidOption, "is too long: at most"),
    ({"process_in": -0.1}, InvalidOption, "process_in=-0.1 must be from 0 up"),
    ({"process_in": NAIVE}, InvalidOption, "process_in=.* must be a number of seconds or a timedelta"),
    ({"unique": 0}, InvalidOption, "unique=0 must be more than 0"),
    ({"unique": 0.5}, InvalidOption, "unique=0.5 must be at least 1 second"),
    ({"unique": dt.timedelta(milliseconds=999)}, InvalidOption, "must be at least 1 second"),
    ({"unique": True}, InvalidOption, "unique=True must be a number of seconds"),
    ({"unique_until": "done"}, InvalidOption, "must be one of started, finished, ended, expired"),
    ({"unique_until": None}, InvalidOption, "unique_until=None must be one of"),
    ({"unique_until": []}, InvalidOption, "unique_until=.* must be one of"),
    ({"unique_until": "expired"}, InvalidOption, "needs a duration: add unique=seconds"),
    ({"unique_key": ""}, InvalidOption, "must be a text that is not empty"),
    ({"unique_key": b"x"}, InvalidOption, "must be a text that is not empty"),
    ({"unique_key": "half \ud83d"}, InvalidOption, "must be valid Unicode"),
    ({"on_duplicate": "replace"}, InvalidOption, "needs a unique task: add unique=seconds"),
    ({"on_duplicate": "ignore"}, InvalidOption, "must be one of reject, replace, reschedule"),
    ({"replace_finished": 1}, InvalidOption, "must be True or False"),
    # moments
    ({"deadline": NOW}, InvalidOption, "is in the past: the task could never run"),
    ({"deadline": NOW - 1}, InvalidOption, "is in the past"),
    ({"deadline": 0}, InvalidOption, "deadline=0 is not a time in seconds since the epoch"),
    ({"deadline": NAIVE}, InvalidOption, "has no time zone: use"),
    ({"deadline": "tomorrow"}, InvalidOption, "must be an aware datetime or seconds since the epoch"),
    ({"deadline": dt.timedelta(1)}, InvalidOption, "must be an aware datetime or seconds since the epoch"),
    ({"process_at": NAIVE}, InvalidOption, "process_at=.* has no time zone"),
    ({"process_at": True}, InvalidOption, "must be an aware datetime"),
    ({"process_at": NOW * 1000}, InvalidOption, "is not a time in seconds since the epoch"),
    ({"process_at": float("nan")}, InvalidOption, "is not a time in seconds"),
    ({"process_at": dt.date(2030, 1, 1)}, InvalidOption, "must be an aware datetime"),
    # counts
    ({"max_retry": -1}, InvalidOption, r"max_retry=-1 must be from 0 \(no retries\) to 2147483647"),
    ({"max_retry": MAX_RETRY_LIMIT + 1}, InvalidOption, "must be from 0"),
    ({"max_retry": 2.0}, InvalidOption, "max_retry=2.0 must be a whole number"),
    ({"max_retry": True}, InvalidOption, "max_retry=True must be a whole number"),
    ({"max_retry": "3"}, InvalidOption, "max_retry='3' must be a whole number"),
    ({"max_retry": None}, InvalidOption, "max_retry=None must be a whole number"),
    # headers
    ({"headers": {"a": 1}}, InvalidOption, "headers={'a': 1} must map strings to strings"),
    ({"headers": {1: "a"}}, InvalidOption, "must map strings to strings"),
    ({"headers": {"a": "\udc00"}}, InvalidOption, "must be valid Unicode"),
    ({"headers": None}, InvalidOption, "headers=None must map strings to strings"),
    ({"headers": "a=b"}, InvalidOption, "headers='a=b' must map strings to strings"),
    ({"headers": [("a", "b")]}, InvalidOption, "must map strings to strings"),
    # retry
    ({"retry": 5}, InvalidOption, "retry=5 cannot travel with a task: use GoRetry"),
    ({"retry": None}, InvalidOption, "cannot travel with a task"),
    ({"retry": RetryFunction(lambda *_: 1.0)}, InvalidOption, "give functions .* to the handler"),
    ({"retry": RetryByException({})}, InvalidOption, "cannot travel with a task"),
    # options that are none
    ({"max_retries": 3}, InvalidOption, "is not an option of a task: write max_retry"),
    ({"quue": "x"}, InvalidOption, "did you mean 'queue'"),
    ({"colour": "x"}, InvalidOption, "is not an option of a task: options are queue, max_retry"),
]


@pytest.mark.parametrize(("options", "error", "text"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_value_gets_an_error_that_says_what_to_do(
    options: dict[str, Any], error: type[InvalidTask], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        made(**options)
    [name] = options
    if isinstance(caught.value, InvalidOption):
        assert caught.value.option == name
    if isinstance(caught.value, InvalidName):
        assert caught.value.what == name
    assert len(str(caught.value)) < 500


def test_the_table_of_wrong_values_is_long_and_names_every_option() -> None:
    assert len(WRONG) >= 40
    assert {name for options, _, _ in WRONG for name in options} >= set(TaskOptions.__annotations__)


@given(
    st.sampled_from(sorted(TaskOptions.__annotations__)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
)
def test_no_value_of_any_option_gets_anything_but_an_entry_or_an_invalid_task(
    name: str, value: object
) -> None:
    options: dict[str, Any] = {name: value}
    try:
        one: Entry | None = made(**options)
    except InvalidTask:
        one = None
    assert one is None or one.message.type == "email:send"


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "email:send",
        "a b",
        "{x}",
        "a.b-c_d/e",
        "ünïcödé",
        "漢字",
        "🎉",
        "%s",
        "'\"`;--",
        "\\",
        "*",
        "x" * MAX_NAME,
    ],
)
def test_a_name_that_people_can_read_is_accepted(name: str) -> None:
    check_name("queue", name)
    assert made(queue=name, task_id=name, group=name).message.ref == (name, name)


@pytest.mark.parametrize("name", ["", " ", "\u00a0", "\t", "a\tb", "a\x7fb", "\udfff", "x" * (MAX_NAME + 1)])
def test_a_type_that_cannot_be_a_name_is_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidName, match=r"^type "):
        Task(name)


def test_a_long_name_is_not_repeated_in_full() -> None:
    with pytest.raises(InvalidName) as caught:
        check_name("queue", "x" * 100_000)
    assert len(str(caught.value)) < 200


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255))
def test_any_readable_text_that_is_not_blank_is_a_name(name: str) -> None:
    if name.strip():
        check_name("queue", name)
    else:
        with pytest.raises(InvalidName, match="blank"):
            check_name("queue", name)


# --- payloads -------------------------------------------------------------------------------------------


def test_a_payload_may_be_as_large_as_the_limit_and_not_larger() -> None:
    assert made(b"x" * DEFAULT_MAX_PAYLOAD).message.payload is not None
    with pytest.raises(PayloadTooLarge, match=r"1,048,577 bytes, the limit is 1,048,576: store the data"):
        made(b"x" * (DEFAULT_MAX_PAYLOAD + 1))
    with pytest.raises(PayloadTooLarge) as caught:
        make_entry(Task("t", b"12345"), {}, NOW, max_payload=4)
    assert (caught.value.type, caught.value.size, caught.value.limit) == ("t", 5, 4)


@pytest.mark.parametrize("payload", ["text", 5, {"a": 1}, bytearray(b"x"), memoryview(b"x")])
def test_a_payload_that_is_not_bytes_is_refused_with_the_way_out(payload: Any) -> None:
    with pytest.raises(NotSerializable, match=r"not bytes \(Task\.json encodes values\)"):
        Task("t", payload)


def test_no_payload_and_an_empty_one_are_different_tasks() -> None:
    assert made(None).message.payload is None
    assert made(b"").message.payload == b""
    assert made(None, unique=9).message.unique_key != made(b"", unique=9).message.unique_key


def test_a_task_of_json_can_be_loaded_again() -> None:
    task = Task.json("t", {"to": ["ann"]}, queue="q")
    assert (task.payload, task.options) == (b'{"to":["ann"]}', {"queue": "q"})
    assert task.load() == {"to": ["ann"]}
    assert task.load(dict[str, list[str]]) == {"to": ["ann"]}


def test_tasks_are_equal_when_all_of_them_is() -> None:
    assert Task("t", b"1", queue="q") == Task("t", b"1", queue="q")
    others = [Task("u", b"1", queue="q"), Task("t", None, queue="q"), Task("t", b"1"), "t"]
    assert all(Task("t", b"1", queue="q") != other for other in others)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Task("t"))


def test_a_task_shows_its_size_and_not_its_payload() -> None:
    assert repr(Task("t", b"secret")) == "Task('t', payload: 6 bytes)"
    assert repr(Task("t")) == "Task('t', payload: none)"


def test_a_task_has_the_headers_it_was_given() -> None:
    assert Task("t", headers={"a": "b"}).headers == {"a": "b"}
    assert Task("t").headers == {}


# --- layers ---------------------------------------------------------------------------------------------


def test_the_last_layer_that_names_an_option_wins() -> None:
    assert merge({"queue": "a", "max_retry": 1}, {"max_retry": 2}, {"timeout": 5}) == {
        "queue": "a",
        "max_retry": 2,
        "timeout": 5,
    }
    assert merge() == {}


def test_when_and_how_long_from_now_replace_each_other_across_layers() -> None:
    assert merge({"process_at": NOW}, {"process_in": 5}) == {"process_in": 5}
    assert merge({"process_in": 5}, {"process_at": NOW}) == {"process_at": NOW}


def test_when_and_how_long_from_now_exclude_each_other_in_one_layer() -> None:
    with pytest.raises(ConflictingOptions, match="exclude each other: give a moment or a delay") as caught:
        merge({"process_at": NOW, "process_in": 5})
    assert caught.value.options == ("process_at", "process_in")


def test_headers_are_merged_by_key() -> None:
    first: Mapping[str, str] = {"a": "1", "b": "1"}
    layers: list[TaskOptions] = [{"headers": first}, {"queue": "q"}, {"headers": {"b": "2", "c": "2"}}]
    assert merge(*layers) == {"headers": {"a": "1", "b": "2", "c": "2"}, "queue": "q"}
    assert first == {"a": "1", "b": "1"}


@pytest.mark.parametrize("wrong", [None, "a=b", [("a", "b")], 5])
def test_headers_that_are_none_are_refused_while_merging(wrong: Any) -> None:
    with pytest.raises(InvalidOption, match="must map strings to strings"):
        merge({"headers": {"a": "b"}}, {"headers": wrong})


def test_merging_changes_no_layer() -> None:
    layers: list[TaskOptions] = [{"process_at": NOW, "headers": {"a": "1"}}, {"process_in": 5}]
    merge(*layers)
    assert layers == [{"process_at": NOW, "headers": {"a": "1"}}, {"process_in": 5}]


def test_ids_are_uuids_of_version_7_that_sort_by_time_to_the_microsecond() -> None:
    start = 1_763_797_076.123_456
    ids = [new_id(start + step * 1e-6) for step in range(0, 5_000, 3)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    first = uuid.UUID(ids[0])
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert first.int >> 80 == 1_763_797_076_123
    assert new_id(start) != new_id(start)
