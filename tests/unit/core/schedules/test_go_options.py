"""Options in the format of Go's tools."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.retry import FixedRetry
from asynqio.core.schedules.go_options import option_texts, quote, read_options, unquote
from asynqio.core.task.options import TaskOptions
from asynqio.errors import InvalidOption

AT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"max_retry": 5}, ["MaxRetry(5)"]),
        ({"queue": "low"}, ['Queue("low")']),
        ({"task_id": "daily-1", "group": "g1"}, ['TaskID("daily-1")', 'Group("g1")']),
        ({"timeout": 90}, ["Timeout(1m30s)"]),
        ({"unique": timedelta(days=1)}, ["Unique(24h0m0s)"]),
        ({"process_in": 0.5, "retention": 1.5}, ["ProcessIn(500ms)", "Retention(1.5s)"]),
        ({"deadline": AT}, ["Deadline(Mon Jan  5 09:30:00 UTC 2026)"]),
        ({"process_at": AT.timestamp()}, ["ProcessAt(Mon Jan  5 09:30:00 UTC 2026)"]),
        (
            {"deadline": AT.astimezone(timezone(timedelta(hours=5)))},
            ["Deadline(Mon Jan  5 09:30:00 UTC 2026)"],
        ),
        ({"headers": {"k": "v"}}, ['Header(["k","v"])']),
        ({"headers": {"é<": "a&b\u2028"}}, ['Header(["é\\u003c","a\\u0026b\\u2028"])']),
        ({"queue": 'a"b\\c\té\u00a0\u200b'}, ['Queue("a\\"b\\\\c\\té\\u00a0\\u200b")']),
        ({"retention": 0}, ["Retention(0s)"]),
    ],
)
def test_each_option_is_formatted_as_in_go(options: TaskOptions, texts: list[str]) -> None:
    assert option_texts(options) == texts


def test_a_retry_policy_is_formatted_as_its_header() -> None:
    [text] = option_texts({"retry": FixedRetry(5.0)})
    assert text.startswith('Header(["asynqio-retry",')
    assert "asynqio-retry" in read_options([text])["headers"]


@pytest.mark.parametrize("options", [{"timeout": "x"}, {"unique": None}, {"deadline": "soon"}])
def test_invalid_values_of_options_are_rejected(options: Any) -> None:
    with pytest.raises(InvalidOption):
        option_texts(options)


def test_b30_options_survive_being_read() -> None:
    options: TaskOptions = {
        "queue": "a) b(c)",
        "task_id": 'x")',
        "group": "g)",
        "max_retry": 3,
        "timeout": 1.5,
        "deadline": AT.timestamp(),
        "headers": {"a)": "b)", "c": "d"},
    }
    assert read_options(option_texts(options)) == options


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Queue",
        "Queue(",
        "Queue)",
        "Queue(low)",
        'Queue("low',
        "MaxRetry(x)",
        "Timeout(5)",
        "Deadline(tomorrow)",
        "Deadline(Mon Foo  5 09:30:00 UTC 2026)",
        "Deadline(Mon Feb 31 09:30:00 UTC 2026)",
        "Header(1)",
        'Header(["a"])',
        'Header({"a":1})',
        "Header([",
        "Magic(1)",
    ],
)
def test_b30_a_text_that_means_nothing_is_passed_over(text: str) -> None:
    assert read_options([text, "MaxRetry(5)"]) == {"max_retry": 5}


@given(st.text())
def test_unquote_reverses_quote(text: str) -> None:
    assert unquote(quote(text)) == text
    assert quote(text).isprintable()
