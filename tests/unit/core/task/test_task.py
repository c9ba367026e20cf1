"""A task as its producer writes it, and the entry that is made of it."""

from __future__ import annotations

import datetime as dt
import uuid
from types import MappingProxyType
from typing import Any

import pytest

from asynqio.core.retry import (
    RETRY_HEADER,
    ExponentialRetry,
    FixedRetry,
    GoRetry,
    from_header,
)
from asynqio.core.task.message import TaskState
from asynqio.core.task.option_values import MAX_RETRY_LIMIT
from asynqio.core.task.options import DEFAULT_TIMEOUT, UNTIL_TTL, TaskOptions
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Entry, Task, make_entry
from asynqio.core.task.unique import OnDuplicate, UniqueUntil, unique_key
from asynqio.errors import (
    ConflictingOptions,
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
