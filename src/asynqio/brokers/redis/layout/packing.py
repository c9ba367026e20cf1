"""Several values in one argument of a script; scripts/lib/fields.lua unpacks them.

Not MessagePack: the version in Redis cannot read binary values.
"""

from __future__ import annotations


def pack(*values: bytes | str) -> bytes:
    """Each value after its length (4 bytes, big-endian)."""
    parts = []
    for value in values:
        if not value:
            parts.append(b"\0\0\0\0")
            continue
        data = value.encode() if isinstance(value, str) else value
        parts.append(len(data).to_bytes(4, "big"))
        parts.append(data)
    return b"".join(parts)


def optional(value: bytes | None) -> bytes:
    """A value that may be missing: empty, or `=` and the value."""
    return b"" if value is None else b"=" + value


def unpack(packed: bytes) -> list[bytes]:
    """Decode `pack`."""
    values, at = [], 0
    while at < len(packed):
        start = at + 4
        at = start + int.from_bytes(packed[at:start], "big")
        values.append(packed[start:at])
    return values
