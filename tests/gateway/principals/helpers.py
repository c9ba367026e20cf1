"""What the tests of principals share."""

from __future__ import annotations

import base64
from typing import Any

from argon2 import PasswordHasher

from asynqio.brokers.contract.broker import Store
from asynqio.gateway.principals.passwords import LANES, MEMORY_KIB, PASSES


class CountingHasher(PasswordHasher):
    """The real hasher, which counts what it computes."""

    def __init__(self, memory_cost: int = MEMORY_KIB) -> None:
        super().__init__(time_cost=PASSES, memory_cost=memory_cost, parallelism=LANES)
        self.runs = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        self.runs += 1
        return super().verify(hash, password)


def basic(username: str, password: str, scheme: str = "Basic") -> list[tuple[bytes, bytes]]:
    """The headers of a request with Basic authentication."""
    text = base64.b64encode(f"{username}:{password}".encode()).decode()
    return [(b"host", b"gateway.example"), (b"authorization", f"{scheme} {text}".encode())]


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    """The headers of a request with a token."""
    return [(b"host", b"gateway.example"), (b"authorization", f"Bearer {token}".encode())]


async def dump(store: Store, *collections: str) -> str:
    """Everything that a store holds in these collections, as text."""
    found = [await store.collection(name) for name in collections]
    return " ".join(f"{name} {data.decode()}" for one in found if one for name, data in one.documents.items())
