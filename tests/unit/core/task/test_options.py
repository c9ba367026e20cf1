"""The options of a task: wrong values, names, and how layers merge."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.retry import (
    RetryByException,
    RetryFunction,
)
from asynqio.core.task.option_values import MAX_NAME, MAX_RETRY_LIMIT, check_name
from asynqio.core.task.options import TaskOptions, merge
from asynqio.core.task.task import Entry, Task, make_entry
from asynqio.errors import (
    ConflictingOptions,
    InvalidName,
    InvalidOption,
    InvalidTask,
)

NOW = 1_700_000_000.0
UTC = dt.UTC


def made(payload: bytes | None = None, **options: Any) -> Entry:
    return make_entry(Task("email:send", payload), TaskOptions(**options), NOW)  # type: ignore[typeddict-item]


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


@pytest.mark.parametrize("char", "\u200b\u2060\u00ad\u3164\u115f\u2800\ufeff\u0301\u20dd\u2028\U000e0041")
def test_a_name_of_invisible_characters_is_refused(char: str) -> None:
    for name in (char, f" {char}\u200b"):
        with pytest.raises(InvalidName, match=r"must contain a visible character|must not be blank"):
            check_name("queue", name)
    check_name("queue", f"a{char}")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf", "Mn", "Me"]), min_size=1, max_size=255))
def test_any_readable_text_that_is_not_blank_is_a_name(name: str) -> None:
    if name.strip(" \u115f\u1160\u2800\u3164\uffa0" + "".join(char for char in name if char.isspace())):
        check_name("queue", name)
    else:
        with pytest.raises(InvalidName, match=r"blank|visible"):
            check_name("queue", name)


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


@given(
    st.sampled_from(sorted(TaskOptions.__annotations__)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
)
def test_a_value_that_is_accepted_where_it_is_written_is_no_surprise_later(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    try:
        Task("email:send", **options)
    except InvalidTask as refused:
        with pytest.raises(type(refused)):
            made(**options)
