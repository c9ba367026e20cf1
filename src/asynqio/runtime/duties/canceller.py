"""Passes cancellations to the attempts that run here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid

from asynqio.brokers.contract.broker import Broker
from asynqio.core.lifecycle import Failed
from asynqio.core.task.message import TaskRef
from asynqio.errors import BrokerError, TaskCancelled
from asynqio.runtime.attempts.attempt import Attempt
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.fetching.fetcher import Fetcher
from asynqio.runtime.service import Service

log = logging.getLogger("asynqio.server")

#: The queue of the cancellation that a server sends to test that it receives them.
PROBE = "asynqio:probe"
#: Seconds to wait for the first test message, doubled with each further one; then the server starts anyway.
FIRST_TIMEOUT, LAST_TIMEOUT = 0.02, 3.0


class Canceller(Service):
    """Receives cancellations while it rests; `once` has nothing to do.

    The store does not keep cancellations for absent receivers. So it subscribes before the first fetch, and verifies
    the subscription by cancelling a task that does not exist.
    """

    name = "canceller"

    def __init__(self, broker: Broker, runner: Runner, fetcher: Fetcher) -> None:
        self._broker = broker
        self._runner = runner
        self._fetcher = fetcher
        self._probe = TaskRef(PROBE, uuid.uuid4().hex)
        self._received = asyncio.Event()
        self._receiving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._receiving = asyncio.create_task(self._receive(), name="asynqio cancellations")
        timeout = FIRST_TIMEOUT
        try:
            while timeout < LAST_TIMEOUT and not self._receiving.done():
                await self._broker.cancel([self._probe])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await self._received.wait()
                    return
                timeout *= 2
        except BrokerError as error:
            log.debug(
                "the test of the cancellation channel failed: %s",
                error,
                extra={"event": "cancellation_test_failed", "error": str(error)},
            )
            return
        log.warning(
            "cancellations of running tasks may not be received yet",
            extra={"event": "cancellations_unconfirmed"},
        )

    async def close(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            await asyncio.gather(self._receiving, return_exceptions=True)

    async def once(self) -> float:
        return 1.0

    async def rest(self, seconds: float) -> None:
        if self._receiving is None:
            self._receiving = asyncio.create_task(self._receive(), name="asynqio cancellations")
        try:
            await self._receiving
        finally:
            self._receiving = None

    async def _receive(self) -> None:
        async for call in self._broker.cancellations():
            if call.ref == self._probe:
                self._received.set()
            attempts = self._attempts(call.ref)
            for attempt in attempts:
                attempt.stop(Failed(TaskCancelled(archive=call.archive)))
            if not attempts:
                self._fetcher.cancel(call)

    def _attempts(self, ref: TaskRef) -> list[Attempt]:
        """The running attempts at a task. Go's cancellations have no queue and apply to every task with the id."""
        running = self._runner.running
        if ref.queue:
            attempt = running.get((ref.queue, ref.id))
            return [attempt] if attempt is not None else []
        return [attempt for (_, id), attempt in list(running.items()) if id == ref.id]
