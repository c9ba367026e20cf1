"""Documents and logs: what the processes of one store share besides tasks, such as the tenants of gateways."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

#: Most entries of a log that an append deletes because of their age.
LOG_TRIM_SIZE = 1_000


class Collection(NamedTuple):
    """All documents of a collection, by name. Each change increases the revision."""

    revision: int
    documents: dict[str, bytes]


class LogEntry(msgspec.Struct, frozen=True):
    """One entry of a log. Numbers increase from 1 on."""

    number: int
    at: float
    data: bytes
