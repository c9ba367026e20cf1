"""The 16384 slots of a Redis cluster: which one a key is in, and who serves which."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterator
from typing import Any, NamedTuple

from asynqio.brokers.redis.settings import Address

SLOTS = 16384


def slot_of(key: str) -> int:
    """CRC16 of the key, or of what is between its first `{` and the next `}` if that is not empty."""
    data = key.encode()
    start = data.find(b"{") + 1
    if start:
        end = data.find(b"}", start)
        if end > start:
            data = data[start:end]
    return crc_hqx(data, 0) % SLOTS


class Range(NamedTuple):
    """Slots in a row, from `first` to `last`, and their master."""

    first: int
    last: int
    master: tuple[str, int]


def ranges(answer: list[Any], asked: Address) -> Iterator[Range]:
    """The answer to CLUSTER SLOTS. A node that does not know its own name means the one that was asked."""
    for first, last, (host, port, *_), *_ in answer:
        name = host.decode() if host else asked[0]
        if name != "?":  # a node that the one we asked does not know the name of
            yield Range(first, last, (name, port))


def redirection(text: str, asked: Address) -> tuple[int, tuple[str, int]]:
    """What "MOVED 3999 127.0.0.1:6381" and "ASK …" say: the slot, and where it is."""
    _, slot, place = text.split(" ")[:3]
    host, _, port = place.rpartition(":")
    return int(slot), (host or asked[0], int(port))
