"""Errors and tracebacks of attempts: stored compressed, bounded, and with both ends when they are shortened."""

from __future__ import annotations

import hashlib
import importlib
import json
import traceback
from collections.abc import Callable

import msgspec
import pytest

from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import (
    RUNS_KEPT,
    AttemptOutcome,
    AttemptRecord,
    decode_record,
    encode_record,
)
from asynqio.core.attempts.shorten import MAX_TRACEBACK, TRACEBACK_LIMIT, shorten
from asynqio.core.attempts.stored_text import pack, pack_text, split, unpack_text
from asynqio.core.lifecycle import Failed
from tests.builders import lease, settlement

NOW = 1_700_000_100.0
WORKER = "worker-host-17.eu-central-1:31337:1281424f-0129-4915-9a00-ae6bca6932a7"


def size(error: str, trace: str) -> int:
    return sum(map(len, pack(error, trace)))


def raised(call: Callable[[], object]) -> tuple[str, str]:
    """The text and the traceback of what `call` raises."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
    raise AssertionError("nothing was raised")


def nested(depth: int, names: int) -> Callable[[], object]:
    """A function that raises below `depth` frames of `names` functions, whose names have nothing in common."""
    space: dict[str, Callable[[int], object]] = {}
    steps = [f"step_{hashlib.md5(bytes([number % 256, names % 256])).hexdigest()}" for number in range(names)]
    for number, step in enumerate(steps):
        exec(
            f"def {step}(left):\n"
            f"    if left: return {steps[(number + 1) % names]}(left - 1)\n"
            f"    raise LookupError('nothing is left at step {number}')\n",
            space,
        )
    return lambda: space[steps[0]](depth)


def load_module() -> object:
    try:
        return importlib.import_module("asynqio.no_such_module")
    except ImportError as error:
        raise RuntimeError("the settings cannot be loaded") from error


@pytest.mark.parametrize("call", [lambda: json.loads("{'a'}"), load_module, nested(3, 3)])
def test_an_ordinary_traceback_is_kept_whole(call: Callable[[], object]) -> None:
    error, trace = raised(call)
    assert shorten(error, trace) == (error, trace)
    assert size(error, trace) <= TRACEBACK_LIMIT


@pytest.mark.parametrize("depth", [30, 120])
def test_a_long_traceback_keeps_its_first_and_last_frames(depth: int) -> None:
    error, trace = raised(nested(depth, depth + 1))
    assert len(trace) > MAX_TRACEBACK or size(error, trace) > TRACEBACK_LIMIT
    same, short = shorten(error, trace)
    assert same == error
    assert len(short) <= MAX_TRACEBACK
    assert size(error, short) <= TRACEBACK_LIMIT
    lines, shown = trace.splitlines(), short.splitlines()
    assert shown[:3] == lines[:3]
    assert shown[-4:] == lines[-4:]
    [note] = [line for line in shown if "left out" in line]
    frames = sum(line.startswith("  File ") for line in lines)
    kept = sum(line.startswith("  File ") for line in shown)
    assert note == f"  … {frames - kept} frames left out …"
    # Shortened is shortened: the result is stored as it is.
    assert shorten(error, short) == (error, short)


@pytest.mark.parametrize("limit", [200, 400, 512, 1_000, 5_000])
@pytest.mark.parametrize(
    ("error", "trace"),
    [
        ("ValueError: " + "".join(map(str, range(1_500))), ""),
        (
            "ValueError: " + "".join(map(str, range(1_500))),
            "Traceback\n  File x\n    y\nValueError: {error}\n",
        ),
        ("É" * 4_000, "É" * 20_000),
        ("KeyError: 1", "no frames " + "".join(map(str, range(5_000)))),
        ("KeyError: 1", "  File \n" * 3_000 + "KeyError: 1\n" + "".join(map(str, range(5_000)))),
        ("", "".join(f"  File {number}\n    {'x' * 3_000}\n" for number in range(9))),
        ("one", "a\0b" * 50),
        ("", ""),
    ],
)
def test_any_text_fits(error: str, trace: str, limit: int) -> None:
    trace = trace.replace("{error}", error)
    short_error, short = shorten(error, trace, limit)
    assert size(short_error, short) <= limit
    assert len(short) <= MAX_TRACEBACK
    for before, after in ((error, short_error), (trace.replace("\0", "?"), short)):
        assert after == before or "left out" in after


def test_ten_failures_take_less_than_8_kilobytes() -> None:
    def record(number: int) -> bytes:
        error, trace = raised(nested(80, 81 + number))
        outcome = Failed(LookupError(f"{number} {error} " + "".join(map(str, range(900)))))
        held = lease("a", max_retry=25)
        found = with_record(
            settlement(held, outcome, NOW), outcome, AttemptRecord(worker=WORKER, started_at=NOW), NOW, trace
        ).record
        assert found is not None
        assert found.traceback
        return encode_record(found)

    assert sum(len(record(number)) for number in range(RUNS_KEPT)) < 8_192


def test_records_of_earlier_versions_are_readable() -> None:
    old = {
        "worker": "one",
        "started_at": 1.0,
        "ended_at": 2.0,
        "outcome": "failed",
        "then": "retry",
        "error": "ValueError: no",
        "traceback": "Traceback (most recent call last):\nValueError: no\n",
        "log": [[1.0, "hello", "info"]],
    }
    found = decode_record(msgspec.msgpack.encode(old), 3)
    assert (found.number, found.outcome, found.traceback) == (3, AttemptOutcome.FAILED, old["traceback"])
    assert decode_record(encode_record(found), 3) == found


@pytest.mark.parametrize("packed", [b"\x01\xffdamaged", b"\x07anything", b""])
def test_a_damaged_text_is_an_unreadable_record(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|unknown format"):
        unpack_text(packed)
    found = decode_record(msgspec.msgpack.encode({"packed": [packed, packed, packed]}))
    assert found.error == "the stored record cannot be read"


@pytest.mark.parametrize(
    ("trace", "frames"),
    [
        ("", ""),
        ("ValueError: no\n", ""),
        ("Traceback\n  File a\n    b\n    ^\nE: c\n", "Traceback\n  File a\n    b\n    ^\n"),
        ("Traceback\n  File a\n    b", "Traceback\n  File a\n    b"),
        (
            "T\n  File a\n  [Previous line repeated 9 more times]\nE\n",
            "T\n  File a\n  [Previous line repeated 9 more times]\n",
        ),
        ("T\n  File a", ""),
    ],
)
def test_the_frames_end_with_the_last_source_line(trace: str, frames: str) -> None:
    assert split(trace) == (frames, trace[len(frames) :])


@pytest.mark.parametrize("text", ["", "short", "é" * 500, "\0" * 90, "x" * 10_000])
def test_packed_text_is_unpacked(text: str) -> None:
    assert unpack_text(pack_text(text)) == text
    record = AttemptRecord(error=text, traceback=f"T\n  File {text}\n    {text}\n{text}: {text}\n")
    assert decode_record(encode_record(record)) == record
