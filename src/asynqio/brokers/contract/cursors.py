"""The places between the steps of a walk (`Inspection.scan`), as texts."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")

#: The places of walks are JSON; what they say is the store's own business.
encode_place = msgspec.json.Encoder().encode


def read_place(kind: type[T], after: str) -> T | None:
    """What a place says; None: the beginning. Raises ValueError for what no walk through such tasks gave."""
    if not after:
        return None
    try:
        return msgspec.json.decode(after, type=kind)
    except msgspec.DecodeError:
        raise ValueError(f"{after!r} is not a place that a scan of this state and this store gave") from None
