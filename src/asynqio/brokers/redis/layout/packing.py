"""Several values as one argument of a script; scripts/lib_fields.lua takes them apart.

MessagePack would be at hand on both sides, but what Redis has of it cannot read binary values.
"""

from __future__ import annotations


def pack(*values: bytes | str) -> bytes:
    """Each value behind its length (4 bytes, big-endian)."""
    parts = []
    for value in values:
        data = value.encode() if isinstance(value, str) else value
        parts.append(len(data).to_bytes(4, "big"))
        parts.append(data)
    return b"".join(parts)


def maybe(value: bytes | None) -> bytes:
    """A value that may be missing: nothing, or `=` and the value."""
    return b"" if value is None else b"=" + value


def unpack(packed: bytes) -> list[bytes]:
    """The values again."""
    values, at = [], 0
    while at < len(packed):
        start = at + 4
        at = start + int.from_bytes(packed[at:start], "big")
        values.append(packed[start:at])
    return values
