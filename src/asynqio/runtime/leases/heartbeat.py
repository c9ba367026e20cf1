"""Renews leases and publishes the server's info, from a thread with its own event loop.

A handler that blocks the server's event loop does not block this one. For handlers that hold the GIL there is the
lease keeper (asynqio/lease_keeper), a process that gets its ticks from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable

from asynqio.blocking import run_blocking
from asynqio.brokers.contract.broker import Broker
from asynqio.clock import ClockStep
from asynqio.core.info import ServerInfo
from asynqio.core.lifecycle import Lease
from asynqio.errors import BrokerError, StoreReplaced
from asynqio.runtime import log_format
from asynqio.runtime.attempts.log_context import task_fields
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.duties.claims import Claims
from asynqio.runtime.duties.watchdog import Watchdog
from asynqio.runtime.events import LeaseLost
from asynqio.runtime.leases.keeper import Keeper
from asynqio.runtime.leases.keeper_job import KeeperJob

log = logging.getLogger("asynqio.server")

#: Seconds between two publications of a server's info.
INFO_INTERVAL = 5.0
#: Seconds for which a published info is valid: two publications may be missed.
INFO_TTL = 3 * INFO_INTERVAL


class Heartbeat:
    """A thread from `start` to `stop`, which comes after the last settlement."""

    def __init__(
        self,
        broker: Broker,
        runner: Runner,
        settler: Settler,
        info: Callable[[], ServerInfo],
        claims: Claims,
        unstarted_since: Callable[[], float | None],
        *,
        lease: float,
        use_keeper: bool,
        watchdog: Watchdog,
    ) -> None:
        self._broker = broker.clone()
        self._runner = runner
        self._settler = settler
        self._info = info
        self._claims = claims
        self._unstarted_since = unstarted_since
        self._lease = lease
        self._use_keeper = use_keeper and broker.shared
        self._watchdog = watchdog
        self._loop = asyncio.get_running_loop()
        self._tick = min(1.0, lease / 10)
        self._published_at = self._broker.clock.monotonic()
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        #: Whether `stop` was called, perhaps before the thread has made its event.
        self._stopping = False
        self._ready = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="asynqio heartbeat", daemon=True)

    async def start(self) -> None:
        """Wait until the first info is published. Raises what publishing it raised."""
        self._thread.start()
        await self._ready

    async def stop(self) -> None:
        """Withdraw the server's info and end the thread."""
        self._stopping = True
        if self._own_loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the thread has ended and closed its loop
                self._own_loop.call_soon_threadsafe(self._stop.set)
        while self._thread.is_alive():
            await run_blocking(self._thread.join, 1.0)

    @property
    def age(self) -> float:
        """Seconds since the server's info was last published."""
        return self._broker.clock.monotonic() - self._published_at

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._announce(error)

    def _announce(self, error: BaseException | None = None) -> None:
        """Notify the server's loop that the first info is published, or why not."""

        def notify() -> None:
            if not self._ready.done():
                if error is None:
                    self._ready.set_result(None)
                else:
                    self._ready.set_exception(error)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(notify)

    async def _main(self) -> None:
        self._own_loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        if self._stopping:
            return
        async with self._broker:
            await self._publish()
            keeper = self._keeper()
            if keeper is not None:
                await keeper.start()
            self._announce()
            await asyncio.gather(self._beat(), self._run_checks(keeper))
            if keeper is not None:
                await keeper.stop()
            try:
                await self._broker.leave(self._info())
            except BrokerError as error:
                log.warning(
                    "the server could not withdraw its info: %s",
                    error,
                    extra={"event": "server_info_left", "error": str(error), "server_id": self._info().id},
                )

    def _keeper(self) -> Keeper | None:
        if not self._use_keeper:
            return None
        job = KeeperJob(
            self._broker.private_url,
            self._info().id,
            self._lease,
            interval=self._lease / 4,
            logging=log_format.in_use,
        )
        return Keeper(job)

    async def _run_checks(self, keeper: Keeper | None) -> None:
        """Run the watchdog and tick the keeper until `stop`, whether the broker answers or not."""
        while not await self._stopped_within(self._tick):
            try:
                self._watchdog.check()
                if keeper is not None:
                    await keeper.tick()
            except Exception as error:
                log.exception(
                    "checking the handlers failed; retrying in %.1f s",
                    self._tick,
                    extra={"event": "watchdog_failed", "error": str(error), "retry_in": self._tick},
                )

    async def _stopped_within(self, seconds: float) -> bool:
        assert self._stop is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stop.is_set()

    async def _beat(self) -> None:
        """Renew and publish until `stop`. No error ends it: without a heartbeat the server loses its tasks."""
        assert self._stop is not None
        clock = self._broker.clock
        step = ClockStep(clock)
        renew_at = clock.monotonic() + self._lease / 3
        publish_at = clock.monotonic() + INFO_INTERVAL
        while not await self._stopped_within(self._tick):
            jumped = step.jumped()
            try:
                await self._claims.renew(self._broker)
                if jumped or clock.monotonic() >= renew_at:
                    await self._renew()
                    renew_at = clock.monotonic() + self._lease / 3
                if jumped or clock.monotonic() >= publish_at:
                    await self._publish()
                    publish_at = clock.monotonic() + INFO_INTERVAL
            except StoreReplaced:
                await self._stop.wait()  # the store has reported it; there are no leases to renew any more
            except BrokerError as error:
                log.warning(
                    "heartbeat: %s; retrying in %.1f s",
                    error,
                    self._tick,
                    extra={"event": "heartbeat_failed", "error": str(error), "retry_in": self._tick},
                )
            except Exception as error:
                log.exception(
                    "heartbeat failed; retrying in %.1f s",
                    self._tick,
                    extra={"event": "heartbeat_failed", "error": str(error), "retry_in": self._tick},
                )

    async def _publish(self) -> None:
        await self._broker.beat(self._info(), INFO_TTL)
        self._published_at = self._broker.clock.monotonic()

    async def _renew(self) -> None:
        """Renew the leases of running attempts, of queued settlements and of fetched tasks, except recent ones."""
        # While the event loop is blocked, nobody reads which tasks the last fetch took: renew whatever is ours.
        since = self._unstarted_since()
        if since is not None and self._broker.clock.monotonic() - since > self._lease / 3:
            await self._broker.renew_owner(self._info().id, self._lease)
        young = self._broker.clock.now() + self._lease * 3 / 4
        attempts = [attempt for attempt in list(self._runner.running.values()) if not attempt.lost]
        held = [attempt.lease for attempt in attempts] + self._settler.outstanding()
        old = [lease for lease in held if lease.expires_at < young]
        if not old:
            return
        answers = await self._broker.renew(old, self._lease)
        lost = [lease for lease, kept in zip(old, answers, strict=True) if not kept]
        if lost and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._lose, lost)

    def _lose(self, lost: list[Lease]) -> None:
        """On the server's event loop: stop the attempts whose lease was lost."""
        ids = {id(lease) for lease in lost}
        for attempt in list(self._runner.running.values()):
            if id(attempt.lease) in ids:
                message = attempt.lease.message
                log.warning(
                    "task %r (%s, queue %r) lost its lease; stopping its handler",
                    message.id,
                    message.type,
                    message.queue,
                    extra={"event": "lease_lost", **task_fields(message)},
                )
                attempt.lose()
                if self._runner.events.listeners:
                    self._runner.events.publish(LeaseLost(message))


def host_name() -> str:
    """The name of this machine in ServerInfo."""
    return socket.gethostname()
