"""A copy of a collection of documents that all gateways of a store share and change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.documents import Collection
from asynqio.errors import BrokerUnavailable

T = TypeVar("T", bound=msgspec.Struct)

log = logging.getLogger("asynqio.gateway")


class SharedDocuments(Generic[T]):
    """The documents of a collection, decoded. `refresh` follows the changes of other gateways in one cheap call."""

    def __init__(self, store: Store, collection: str, type: type[T]) -> None:
        self._store = store
        self._collection = collection
        self._decode = msgspec.json.Decoder(type).decode
        self._revision = 0
        self._raw: dict[str, bytes] = {}
        self._documents: dict[str, T] = {}
        self._changed: set[str] = set()
        #: Increases with every change of the documents.
        self.edition = 0
        self._started = self._finished = 0
        self._refreshed_at = -math.inf
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def by_name(self) -> Mapping[str, T]:
        return self._documents

    @property
    def age(self) -> float:
        """Seconds since the documents were known to be current."""
        return self._store.clock.monotonic() - self._refreshed_at

    def take_changed(self) -> frozenset[str]:
        """The names of documents that were added, changed or deleted, here or elsewhere, since the last call."""
        changed = frozenset(self._changed)
        self._changed.clear()
        return changed

    async def refresh(self) -> None:
        """Read the documents again if they have changed. Concurrent calls share one."""
        task = self._refreshing
        if task is None or task.done():
            task = self._refreshing = asyncio.create_task(self._load())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def change(self, decide: Callable[[Mapping[str, T]], tuple[str, T | None]]) -> T | None:
        """Write the document that `decide` returns for the current ones, with its name; None deletes it.

        `decide` is called again if another gateway has changed the collection meanwhile. What it raises propagates.
        """
        while True:
            await self._load()
            revision = self._revision
            name, value = decide(self._documents)
            data = None if value is None else msgspec.json.encode(value)
            if await self._store.put_document(self._collection, name, data, known=revision) is not None:
                break
        with contextlib.suppress(BrokerUnavailable):  # it is written; the next refresh reads it
            await self._load()
        return value

    async def _load(self) -> None:
        while True:
            self._started += 1
            number, known, began = self._started, self._revision, self._store.clock.monotonic()
            found = await self._store.collection(self._collection, known)
            if number < self._finished:
                return  # a later call was faster
            if found is None and known != self._revision:
                continue  # an earlier call finished meanwhile, with older documents
            self._finished, self._refreshed_at = number, began
            if found is not None and (found.revision != self._revision or found.documents != self._raw):
                self._install(found)
            return

    def _install(self, found: Collection) -> None:
        documents: dict[str, T] = {}
        for name, data in found.documents.items():
            if self._raw.get(name) == data and name in self._documents:
                documents[name] = self._documents[name]
                continue
            try:
                documents[name] = self._decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                if self._raw.get(name) != data:
                    log.error(
                        "document %r of collection %r cannot be read, so it is ignored: a newer version wrote it, "
                        "or it is damaged",
                        name,
                        self._collection,
                        extra={
                            "event": "document_unreadable",
                            "collection": self._collection,
                            "document": name,
                        },
                    )
        names = documents.keys() | self._documents.keys()
        self._changed |= {name for name in names if documents.get(name) != self._documents.get(name)}
        self._revision, self._raw, self._documents = found.revision, dict(found.documents), documents
        self.edition += 1
