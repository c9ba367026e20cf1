"""Reading protobuf messages without any description of them, to compare what two programs meant.

Written apart from the library's own codec: a mistake in one must not hide the same mistake in the other.
"""

from __future__ import annotations

from typing import TypeAlias

#: Field numbers, and their values in order; maps and other nested messages are bytes.
Fields: TypeAlias = dict[int, list[int | bytes]]


def fields(data: bytes) -> Fields:
    """What is said, whatever the order of fields; a default that is written out says nothing."""
    found: Fields = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        match key & 7:
            case 0:
                value, at = _varint(data, at)
            case 2:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            case wire:
                raise ValueError(f"wire type {wire} at byte {at} of {data.hex()}: asynq has no such fields")
        found.setdefault(key >> 3, []).append(value)
    # Maps have no order, and nothing else is repeated in what we compare but the options of scheduler entries.
    return {number: sorted(values, key=repr) for number, values in found.items() if any(values)}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
