"""Cursors of scans (`Inspection.scan`): positions between two steps, encoded as JSON text."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")

#: Encodes a position; its fields are private to each broker.
encode_cursor = msgspec.json.Encoder().encode


def decode_cursor(kind: type[T], after: str) -> T | None:
    """The position in a cursor; None for the empty cursor, the start. Raises ValueError if it is not a cursor of this
    kind."""
    if not after:
        return None
    try:
        return msgspec.json.decode(after, type=kind)
    except msgspec.DecodeError:
        raise ValueError(f"{after!r} is not a cursor returned by a scan of this state and broker") from None
