"""Messages equal Go's to the byte where that is defined, and damaged ones are detected."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.brokers.redis.layout.descriptors import CLASSES
from asynqio.brokers.redis.layout.messages import (
    decode_failure_counters,
    decode_task,
    encode_failure_counters,
    encode_task,
    id_offset,
)
from asynqio.brokers.redis.layout.server_messages import decode_server, encode_server, encode_worker
from asynqio.core.info import WorkerInfo
from asynqio.core.task.message import TaskMessage
from asynqio.core.task.unique import UniqueUntil
from asynqio.errors import CorruptMessage, InvalidTask
from asynqio.testing.clock import START
from tests.builders import message, server_info

#: Messages written by Go asynq 0.26.
VECTORS = {
    "welcome": (
        (
            "0a0d656d61696c3a77656c636f6d65120e7b22757365725f6964223a34327d1a2463346132623764302d396133652d346335"
            "662d386532312d306636643162326333613465220764656661756c74281940880e"
        ),
        TaskMessage(
            "c4a2b7d0-9a3e-4c5f-8e21-0f6d1b2c3a4e",
            "email:welcome",
            payload=b'{"user_id":42}',
            max_retry=25,
            timeout=1800.0,
        ),
    ),
    "report": (
        (
            "0a067265706f72741a02723122036c6f77280330013a04626f6f6d4880f2d6ca06523a6173796e713a7b6c6f777d3a756e6971"
            "75653a7265706f72743a643431643863643938663030623230346539383030393938656366383432376558c08fc9ca0660901c"
            "7201677a0c0a0574726163651203616263"
        ),
        TaskMessage(
            "r1",
            "report",
            "low",
            max_retry=3,
            retried=1,
            last_error="boom",
            deadline=1767225600.0,
            unique_key="asynq:{low}:unique:report:d41d8cd98f00b204e9800998ecf8427e",
            last_failed_at=1767000000.0,
            retention=3600.0,
            group="g",
            headers={"trace": "abc"},
        ),
    ),
}
#: Go's zero time: the year 1.
ZERO = bytes.fromhex("088092b8c398feffffff01")


@pytest.mark.parametrize("name", VECTORS)
def test_a_message_of_go_is_decoded(name: str) -> None:
    stored, meant = VECTORS[name]
    assert decode_task(bytes.fromhex(stored)) == meant


@pytest.mark.parametrize("name", VECTORS)
def test_a_message_is_encoded_as_go_does(name: str) -> None:
    stored, meant = VECTORS[name]
    assert encode_task(meant).hex() == stored


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
_SECONDS = st.floats(0, 2**40)
_COUNT = st.integers(0, 2**31 - 1)


@given(
    message=st.builds(
        TaskMessage,
        *(st.text(min_size=1, max_size=300).filter(str.isprintable), _TEXT, _TEXT),
        payload=st.none() | st.binary(max_size=20_000),
        max_retry=_COUNT,
        retried=_COUNT,
        last_error=_TEXT,
        last_failed_at=_SECONDS,
        timeout=_SECONDS,
        deadline=_SECONDS,
        unique_key=_TEXT,
        group=_TEXT,
        retention=_SECONDS,
        completed_at=_SECONDS,
        headers=st.dictionaries(_TEXT, _TEXT, max_size=1),
    )
)
def test_the_bytes_are_those_of_the_protobuf_library(message: TaskMessage) -> None:
    stored = encode_task(message)
    assert CLASSES["TaskMessage"].FromString(stored).SerializeToString(deterministic=True) == stored
    seconds = {name: math.ceil(getattr(message, name)) for name in ("timeout", "deadline", "retention")}
    seconds |= {name: int(getattr(message, name)) for name in ("last_failed_at", "completed_at")}
    assert decode_task(stored) == msgspec.structs.replace(message, **seconds)
    assert stored[id_offset(message) :].startswith(b"\x1a")


# --- what is in a message ---------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [None, b"", b"\x00\xff not text"])
def test_a_missing_payload_differs_from_an_empty_one(payload: bytes | None) -> None:
    assert decode_task(encode_task(message("a", payload=payload))).payload == payload


def test_go_omits_an_empty_payload_which_decodes_as_missing() -> None:
    assert b"\x12" not in encode_task(message("a", payload=None))
    assert decode_task(encode_task(message("a", payload=None))).payload is None


def test_unknown_message_fields_are_ignored() -> None:
    stored = encode_task(message("a"))
    later = stored + b"\x80\x01\x05" + b"\x8a\x01\x03new" + b"\x91\x01" + bytes(8)  # fields 16, 17 and 18
    assert decode_task(later) == decode_task(stored)


def test_headers_keep_all_characters() -> None:
    headers = {"trace": "00-ab", "": "empty name", "ключ": "", "emoji": "\U0001f600", "nul": "\x00"}
    assert decode_task(encode_task(message("a", headers=headers))).headers == headers


def test_the_largest_numbers_are_kept() -> None:
    most = message("a", max_retry=2**31 - 1, retried=2**31 - 1, timeout=2.0**53, deadline=2.0**53)
    assert decode_task(encode_task(most)) == most


def test_numbers_beyond_int32_are_clamped_for_go() -> None:
    read = decode_task(encode_task(message("a", max_retry=2**31, retried=2**40)))
    assert (read.max_retry, read.retried) == (2**31 - 1, 2**31 - 1)


def test_negative_numbers_of_go_are_decoded() -> None:
    stored = encode_task(message("a", max_retry=0)) + b"\x28" + b"\xff" * 9 + b"\x01"
    assert decode_task(stored).max_retry == -1


def test_fractions_of_a_second_are_rounded_up_to_avoid_zero() -> None:
    exact = message("a", timeout=0.2, deadline=START + 0.2, retention=0.2, last_failed_at=START + 0.9)
    kept = decode_task(encode_task(exact))
    assert (kept.timeout, kept.deadline, kept.retention) == (1.0, START + 1, 1.0)
    assert kept.last_failed_at == START


@pytest.mark.parametrize(
    "field", ["id", "type", "queue", "last_error", "unique_key", "group", "headers", "names"]
)
def test_invalid_unicode_is_rejected_by_field_name(field: str) -> None:
    half: Any = "half \ud83d"
    if field == "headers":
        broken = message("a", headers={"key": half})
    elif field == "names":
        broken = message("a", headers={half: "value"})
    else:
        broken = msgspec.structs.replace(message("a"), **{field: half})
    with pytest.raises(InvalidTask, match="cannot be encoded"):
        encode_task(broken)


# --- damage ---------------------------------------------------------------------------------------


def test_a_truncated_message_is_corrupt_or_lacks_whole_trailing_fields() -> None:
    stored = bytes.fromhex(VECTORS["report"][0])
    whole = decode_task(stored)
    ends = 0
    for length in range(len(stored)):
        try:
            part = decode_task(stored[:length])
        except CorruptMessage:
            continue
        ends += 1
        assert (part.type, part.payload, part.id) == (whole.type, whole.payload, whole.id)
    assert 0 < ends < 12  # the ends of the fields after the id


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\x00",
        b"junk",
        b"\xff" * 20,
        b"\x0a\x05short",  # no id
        b"\x0a\x02\xc3\x28\x1a\x01a",  # a type that is not UTF-8
        b"\x1a\x01a\x7a\x06\x0a\x01k\x12\x01\xff",  # a header that is not UTF-8
        b"\x1a\x01a\x0b",  # a protobuf group that does not end
    ],
)
def test_bytes_that_are_not_a_message_are_corrupt(stored: bytes) -> None:
    with pytest.raises(CorruptMessage, match="not a task message"):
        decode_task(stored)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_task_or_corrupt(stored: bytes) -> None:
    try:
        read = decode_task(stored)
    except CorruptMessage:
        return
    assert read.id
    assert decode_task(encode_task(read)) == read


# --- there and back -------------------------------------------------------------------------------

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_seconds = st.integers(0, 2**40).map(float)
_messages = st.builds(
    TaskMessage,
    id=_text.filter(bool),
    type=_text,
    queue=_text,
    payload=st.none() | st.binary(max_size=300),
    max_retry=st.integers(0, 2**31 - 1),
    retried=st.integers(0, 2**31 - 1),
    last_error=_text,
    last_failed_at=_seconds,
    timeout=_seconds,
    deadline=_seconds,
    unique_key=_text,
    group=_text,
    retention=_seconds,
    completed_at=_seconds,
    headers=st.dictionaries(_text, _text, max_size=4),
    crashes=st.integers(0, 100),
    deferrals=st.integers(0, 100_000),
    unique_until=st.sampled_from([UniqueUntil.FINISHED, UniqueUntil.STARTED, UniqueUntil.ENDED]),
)


@given(_messages)
def test_a_message_survives_a_round_trip(sent: TaskMessage) -> None:
    counters = encode_failure_counters(sent).encode()
    assert decode_task(encode_task(sent), counters) == sent


@given(_messages, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_the_id_can_be_replaced_at_its_offset(sent: TaskMessage, other: str) -> None:
    """The replacement of the id in scripts/lib_enqueue/update_holder.lua, in Python."""
    data, at = encode_task(sent), id_offset(sent)
    renamed = data[:at] + _field(other) + data[at + len(_field(sent.id)) :]
    assert renamed == encode_task(msgspec.structs.replace(sent, id=other))


def _field(id: str) -> bytes:
    size = len(id.encode())
    length = bytes([size]) if size < 128 else bytes([size % 128 + 128, size // 128])
    return b"\x1a" + length + id.encode()


@pytest.mark.parametrize("field", [b"", b"x", b"1", b"1,", b",1", b"-1,2", b"1,2,3", b"\xff,1"])
def test_malformed_failure_counters_count_as_none(field: bytes) -> None:
    assert decode_failure_counters(field) == (0, 0, UniqueUntil.FINISHED)


# --- servers --------------------------------------------------------------------------------------


def test_server_info_survives_a_round_trip_as_go_shows_it() -> None:
    worker = WorkerInfo("default", "a", "work", START + 0.25, START + 30.5)
    info = server_info(
        "host:1:server-1",
        concurrency=7,
        queues={"a": 3, "b": 1},
        strict_priority=True,
        status="stopped",
        workers=[worker],
    )
    read = decode_server(encode_server(info), [encode_worker(info, worker)])
    fields = (
        "id",
        "host",
        "pid",
        "started_at",
        "queues",
        "strict_priority",
        "concurrency",
        "status",
        "workers",
    )
    for field in fields:
        assert getattr(read, field) == getattr(info, field), field


def test_a_missing_deadline_is_gos_zero_time() -> None:
    worker = WorkerInfo("default", "a", "work", START, 0.0)
    stored = encode_worker(server_info(), worker)
    assert stored.endswith(b"\x4a" + bytes([len(ZERO)]) + ZERO)
    [read] = decode_server(encode_server(server_info()), [stored]).workers
    assert read.deadline == 0.0


def test_an_unreadable_server_message_is_corrupt() -> None:
    with pytest.raises(CorruptMessage):
        decode_server(b"\xff", [])
    with pytest.raises(CorruptMessage):
        decode_server(encode_server(server_info()), [b"\xff"])
