"""Reads protobuf messages without descriptors, to compare messages of two programs.

Independent of the codec of asynqio, so that a mistake in one does not hide the same mistake in the other.
"""

from __future__ import annotations

from typing import TypeAlias

#: Values by field number, in order; nested messages and maps are bytes.
Fields: TypeAlias = dict[int, list[int | bytes]]


def fields(data: bytes) -> Fields:
    """The fields of a message without default values, independent of their order."""
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
    # Maps have no order; the only other repeated field here is the options of scheduler entries.
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
