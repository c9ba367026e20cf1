"""The 16384 slots of a Redis cluster: the slot of a key, and the master of each slot."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from typing import Any, NamedTuple

from asynqio.brokers.redis.settings import Address

SLOTS = 16384


def slot_of(key: str) -> int:
    """CRC16 of the key, or of the part between its first `{` and the next `}` if that is not empty."""
    data = key.encode()
    start = data.find(b"{") + 1
    if start:
        end = data.find(b"}", start)
        if end > start:
            data = data[start:end]
    return crc_hqx(data, 0) % SLOTS


class SlotRange(NamedTuple):
    """The slots from `first` to `last` (inclusive), and their master."""

    first: int
    last: int
    master: tuple[str, int]


def slot_ranges(answer: list[Any], asked: Address) -> Iterator[SlotRange]:
    """Parse the reply to CLUSTER SLOTS. An empty host name means the node that was asked."""
    for first, last, (host, port, *_), *_ in answer:
        name = host.decode() if host else asked[0]
        if name != "?":  # the node that was asked does not know this one's name
            yield SlotRange(first, last, (name, port))


def redirection(text: str, asked: Address) -> tuple[int, tuple[str, int]]:
    """Parse "MOVED 3999 127.0.0.1:6381" or "ASK …": the slot, and the node to ask."""
    _, slot, place = text.split(" ")[:3]
    host, _, port = place.rpartition(":")
    return int(slot), (host or asked[0], int(port))
