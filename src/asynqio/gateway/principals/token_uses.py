"""When each API token was last used: noted in memory, written together about once a minute."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from asynqio.brokers.contract.broker import Store

#: The collection and its one document: epoch seconds by token id.
COLLECTION, DOCUMENT = "token-uses", "last-used"
#: Seconds between two writes of one gateway.
INTERVAL = 60.0

_decode = msgspec.json.Decoder(dict[str, float]).decode


class TokenUses:
    """The last use of each token, merged from all gateways."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unwritten: dict[str, float] = {}
        self._written_at = store.clock.monotonic() - INTERVAL

    def note(self, id: str) -> None:
        """Note that a token is used now."""
        self._unwritten[id] = self._store.clock.now()

    async def read(self) -> dict[str, float]:
        """The last use of each token in epoch seconds, by id; those of other gateways up to a minute late."""
        _, stored = await self._read()
        return _merged(stored, self._unwritten)

    async def flush(self, existing: Collection[str], *, now: bool = False) -> None:
        """Write what was noted, if the last write was a minute ago, or `now`. Other tokens than `existing` are
        dropped."""
        monotonic = self._store.clock.monotonic()
        if not self._unwritten or (not now and monotonic - self._written_at < INTERVAL):
            return
        noted, self._unwritten, self._written_at = self._unwritten, {}, monotonic
        try:
            while True:
                revision, stored = await self._read()
                merged = {id: at for id, at in _merged(stored, noted).items() if id in existing}
                data = msgspec.json.encode(merged)
                if await self._store.put_document(COLLECTION, DOCUMENT, data, known=revision) is not None:
                    return
        except BaseException:
            self._unwritten = _merged(noted, self._unwritten)  # for the next time
            raise

    async def _read(self) -> tuple[int, dict[str, float]]:
        found = await self._store.collection(COLLECTION)
        assert found is not None  # it is None only for a revision that is known
        try:
            return found.revision, _decode(found.documents.get(DOCUMENT, b"{}"))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return found.revision, {}  # damaged: the next write replaces it


def _merged(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {id: max(one.get(id, 0.0), other.get(id, 0.0)) for id in one.keys() | other.keys()}
