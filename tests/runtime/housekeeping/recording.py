"""A store that records which queues it is asked about, and a process that runs no tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Expired, Forwarded, Swept
from tests.runtime.waiting import LIMIT

T = TypeVar("T")


class Call(NamedTuple):
    """A call that has ended; `answer` may be an error."""

    name: str
    queues: tuple[str, ...]
    answer: Any


class Recording:
    """Records the calls of periodic duties, and passes all calls on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[Call] = []
        self._changed = asyncio.Event()
        #: Answers about the names of all queues wait while this is cleared.
        self.lists = asyncio.Event()
        self.lists.set()

    @property
    def broker(self) -> Store:
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def queues(self) -> list[str]:
        found = await self._store.queues()
        self._note("listing", (), found)
        await self.lists.wait()
        self._note("queues", (), found)
        return found

    async def forward(self, queues: Sequence[str], limit: int) -> Forwarded:
        return await self._pass("forward", queues, self._store.forward(queues, limit))

    async def expired(self, queues: Sequence[str], limit: int) -> Expired:
        return await self._pass("expired", queues, self._store.expired(queues, limit))

    async def sweep(self, queues: Sequence[str], limit: int) -> Swept:
        return await self._pass("sweep", queues, self._store.sweep(queues, limit))

    async def _pass(self, name: str, queues: Sequence[str], call: Awaitable[T]) -> T:
        try:
            answer = await call
        except Exception as error:
            self._note(name, queues, error)
            raise
        self._note(name, queues, answer)
        return answer

    def _note(self, name: str, queues: Sequence[str], answer: object) -> None:
        self.calls.append(Call(name, tuple(queues), answer))
        self._changed.set()

    async def until(self, wanted: Callable[[Call], object], after: int = 0) -> int:
        """Wait for a call, from the call number `after` on; returns the number of the next one."""
        async with asyncio.timeout(LIMIT):
            while True:
                for number in range(after, len(self.calls)):
                    if wanted(self.calls[number]):
                        return number + 1
                after = len(self.calls)
                self._changed.clear()
                await self._changed.wait()

    async def served(self, *queues: str) -> None:
        """Wait until the duties that run at once when a queue comes have been done for these queues."""
        for name in ("forward", "expired"):
            for queue in queues:
                await self.until(lambda call: call.name == name and queue in call.queues)  # noqa: B023
