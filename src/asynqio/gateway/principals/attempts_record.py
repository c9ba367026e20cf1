"""Failed attempts in the store: a restart of the gateway does not forget them, and other gateways learn of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.gateway.principals.attempts import Attempts

#: The collection and its one document.
COLLECTION, DOCUMENT = "attempts", "record"
#: Seconds between two writes of one gateway.
INTERVAL = 5.0
#: Most keys of each kind that are stored: those with the latest failures.
MAX_STORED = 500


class Record(msgspec.Struct, omit_defaults=True):
    """Delayed keys by kind, with the number of failures and the time of the last one (epoch seconds)."""

    delays: dict[str, dict[str, tuple[int, float]]] = {}
    owners: list[str] = []


_decode = msgspec.json.Decoder(Record).decode


class AttemptsRecord:
    """Writes what causes delays, and where owners are, every few seconds while it changes."""

    def __init__(self, store: Store, attempts: Attempts) -> None:
        self._store = store
        self._attempts = attempts
        self._written_at = store.clock.monotonic() - INTERVAL

    async def load(self) -> None:
        """Take over what this gateway or others have stored."""
        _, stored = await self._read()
        self._take_over(stored)

    async def write(self, exists: Callable[[str], bool], *, now: bool = False) -> None:
        """Merge what has changed into the store, if the last write was a while ago, or `now`.

        Accounts that do not exist are left out: their names may be passwords in the wrong field.
        """
        monotonic = self._store.clock.monotonic()
        if not self._attempts.changed or (not now and monotonic - self._written_at < INTERVAL):
            return
        self._attempts.changed, self._written_at = False, monotonic
        try:
            while True:
                revision, stored = await self._read()
                self._take_over(stored)
                data = msgspec.json.encode(self._record(exists))
                if await self._store.put_document(COLLECTION, DOCUMENT, data, known=revision) is not None:
                    return
        except BaseException:
            self._attempts.changed = True  # for the next time
            raise

    def _record(self, exists: Callable[[str], bool]) -> Record:
        clock = self._store.clock
        delays = {}
        for kind, throttle in self._attempts.throttles.items():
            found = throttle.delays(clock.monotonic())
            latest = sorted(found, key=lambda key: found[key][1])
            delays[kind] = {
                key: (found[key][0], clock.now() - found[key][1])
                for key in latest[:MAX_STORED]
                if kind != "accounts" or exists(key)
            }
        return Record(delays, self._attempts.owners[-MAX_STORED:])

    def _take_over(self, record: Record) -> None:
        clock = self._store.clock
        for kind, delays in record.delays.items():
            throttle = self._attempts.throttles.get(kind)
            if throttle is not None:
                for key, (times, at) in delays.items():
                    throttle.restore(key, times, max(clock.now() - at, 0.0), clock.monotonic())
        for pair in reversed(record.owners):
            self._attempts.restore_owner(pair)

    async def _read(self) -> tuple[int, Record]:
        found = await self._store.collection(COLLECTION)
        assert found is not None  # it is None only for a revision that is known
        try:
            return found.revision, _decode(found.documents.get(DOCUMENT, b"{}"))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return found.revision, Record()  # damaged: the next write replaces it
