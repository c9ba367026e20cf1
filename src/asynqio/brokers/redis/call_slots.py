"""Numbers for the script calls of one client, by which Redis runs each call once although it may arrive twice.

After a lost reply the client sends the call again. By then the task that the call enqueued may have run and been
deleted, so nothing of it is left to recognise. Therefore each call has a slot, a small key of its queue in which
`scripts/lib_enqueue/call_once.lua` stores the number of the call and its reply. A slot belongs to one call at a time;
the next call in it has a higher number and overwrites it. So Redis keeps as many slots as calls were in flight at
once, for 10 minutes. (NFS has such slots too: RFC 8881, section 2.10.6.)
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Hashable
from typing import Protocol

from asynqio.brokers.contract.processes import reset_after_fork

#: Seconds for which a slot is used. Redis forgets it 10 minutes after its first call (to extend that with each call
#: would cost a tenth of its time), so each call is remembered for at least 5 minutes.
SLOT_AGE = 300.0


class Called(Protocol):
    """The keys of a queue or a collection, which scripts are called for."""

    @property
    def name(self) -> Hashable: ...

    def call(self, slot: str) -> str: ...


class CallSlot:
    """The key in which Redis remembers a call, and the number of that call."""

    __slots__ = ("_free", "key", "number", "since")

    def __init__(self, key: str, since: float, free: list[CallSlot]) -> None:
        self.key = key
        self.number = 0
        self.since = since
        self._free = free

    def release(self) -> None:
        """Leave the slot to the next call: this one has ended, and is not sent again."""
        self._free.append(self)


class CallSlots:
    """The slots of one client. Threads may share them. After a fork, the child gets slots of its own."""

    def __init__(self) -> None:
        self._after_fork()
        reset_after_fork(self)

    def _after_fork(self) -> None:
        self._client = secrets.token_urlsafe(8)
        self._numbers = itertools.count()
        self._free: dict[Hashable, list[CallSlot]] = {}

    def take(self, of: Called, now: float) -> CallSlot:
        """A slot for the next call to this queue or collection, with the number of that call. `now`: any clock in
        seconds."""
        slot: CallSlot | None
        free = self._free.get(of.name)
        if free is None:
            free = self._free.setdefault(of.name, [])
        try:
            slot = free.pop()
        except IndexError:
            slot = None
        if slot is None or not 0.0 <= now - slot.since < SLOT_AGE:
            slot = CallSlot(of.call(f"{self._client}:{next(self._numbers)}"), now, free)
        slot.number += 1
        return slot
