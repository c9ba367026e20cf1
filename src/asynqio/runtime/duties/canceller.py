"""Cancellation signals reach the attempts that run here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from typing import TYPE_CHECKING

from asynqio.brokers.contract.broker import Broker
from asynqio.core.lifecycle import Failed
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerError, TaskCancelled
from asynqio.runtime.service import Service

if TYPE_CHECKING:
    from asynqio.runtime.attempts.attempt import Attempt
    from asynqio.runtime.fetching.fetcher import Fetcher
    from asynqio.runtime.runner import Runner

log = logging.getLogger("asynqio.server")

#: The queue of the call by which a server finds out that it is heard.
PROBE = "asynqio:probe"
#: Seconds to wait for the first such call, doubled with each further one; then the server starts all the same.
FIRST_PATIENCE, LAST_PATIENCE = 0.02, 3.0


class Canceller(Service):
    """Everything happens while it rests: there is nothing to do but to listen.

    Calls are not kept for who does not hear them. So it listens before the first task is taken, and makes sure by
    calling itself.
    """

    name = "canceller"

    def __init__(self, broker: Broker, runner: Runner, fetcher: Fetcher) -> None:
        self._broker = broker
        self._runner = runner
        self._fetcher = fetcher
        self._probe = TaskRef(PROBE, uuid.uuid4().hex)
        self._heard = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._listening = asyncio.create_task(self._listen(), name="asynqio cancellations")
        patience = FIRST_PATIENCE
        try:
            while patience < LAST_PATIENCE and not self._listening.done():
                await self._broker.cancel([self._probe])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        await self._heard.wait()
                    return
                patience *= 2
        except BrokerError as error:
            log.debug("whether calls to cancel are heard is not known: %s", error)
            return
        log.warning("calls to cancel running tasks may not be heard yet")

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def once(self) -> float:
        return 1.0

    async def rest(self, seconds: float) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="asynqio cancellations")
        try:
            await self._listening
        finally:
            self._listening = None

    async def _listen(self) -> None:
        async for call in self._broker.cancellations():
            if call.ref == self._probe:
                self._heard.set()
            meant = self._meant(call.ref)
            for attempt in meant:
                attempt.stop(Failed(TaskCancelled(archive=call.archive)))
            if not meant:
                self._fetcher.cancel(call)

    def _meant(self, ref: TaskRef) -> list[Attempt]:
        """The attempts that a call is about: Go's do not say the queue, and mean whatever has the id."""
        running = self._runner.running
        if ref.queue:
            attempt = running.get((ref.queue, ref.id))
            return [attempt] if attempt is not None else []
        return [attempt for (_, id), attempt in list(running.items()) if id == ref.id]
