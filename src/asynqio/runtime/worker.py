"""All services of one worker server, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import Any, NamedTuple

from asynqio.brokers.contract.broker import Store
from asynqio.core.info import ServerInfo
from asynqio.core.lifecycle import Aborted, Policy
from asynqio.core.queue_order import QueueOrder
from asynqio.errors import BrokerUnavailable
from asynqio.runtime.attempts.attempt import Attempt
from asynqio.runtime.attempts.log_capture import Capture
from asynqio.runtime.attempts.output_writer import OutputWriter
from asynqio.runtime.attempts.runner import Router, Runner
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.duties.aggregation import Aggregation
from asynqio.runtime.duties.aggregator import CONCURRENCY, Aggregator
from asynqio.runtime.duties.canceller import Canceller
from asynqio.runtime.duties.claims import Claims
from asynqio.runtime.duties.forwarder import Forwarder
from asynqio.runtime.duties.group_check import GroupCheck
from asynqio.runtime.duties.health import Health
from asynqio.runtime.duties.sweeper import Sweeper
from asynqio.runtime.duties.watchdog import Watchdog
from asynqio.runtime.events import Events, ServerStats
from asynqio.runtime.fetching.fetcher import Fetcher
from asynqio.runtime.fetching.paused_types import PausedTypes
from asynqio.runtime.hooks import OnError
from asynqio.runtime.lanes.child import Setup
from asynqio.runtime.lanes.forward_logs import log_levels
from asynqio.runtime.lanes.processes import ProcessPool
from asynqio.runtime.lanes.target import Target
from asynqio.runtime.lanes.threads import Threads
from asynqio.runtime.leases.heartbeat import Heartbeat, host_name
from asynqio.runtime.leases.recoverer import Recoverer
from asynqio.runtime.server_config import ServerConfig
from asynqio.runtime.service import TIMEOUT, Loop, Service, complete
from asynqio.runtime.slots import Slots

log = logging.getLogger("asynqio.server")

#: Seconds that cancelled handlers get to end before their tasks are returned to the queue anyway.
ABORT_GRACE = 1.0
#: Seconds that the last settlements may take.
LAST_FLUSH_TIMEOUT = 5.0
#: Seconds from the end of the handlers to the end of the worker, whatever the store does.
CLOSE_TIMEOUT = 6.0
#: Seconds that each step of the end gets at least, even when earlier ones took too long.
STEP_TIMEOUT = 0.5


class Hooks(NamedTuple):
    """The application's own functions."""

    on_error: OnError | None = None
    aggregations: Mapping[str, Aggregation] = {}
    health_check: Callable[[BrokerUnavailable | None], None] | None = None
    #: Called in each task process, before its first task.
    process_initializer: Target | None = None
    #: Receives what happens.
    events: Events | None = None


class Worker:
    """Starts with `start`, fetches nothing after `stop_fetching`, ends with `stop`. Used once."""

    def __init__(
        self,
        broker: Store,
        router: Router,
        config: ServerConfig,
        policy: Policy,
        hooks: Hooks,
        state: Mapping[str, Any],
        random: Random,
    ) -> None:
        self._config = config
        self._broker = broker
        self._random = random
        self._status = "active"
        self._aggregator: Aggregator | None = None
        self._started_at = broker.clock.now()
        host = host_name()
        self.id = f"{host}:{os.getpid()}:{uuid.uuid4()}"
        self._host = host
        processes = config.processes or os.cpu_count() or 1
        # A server without other handlers leaves the tasks that its processes cannot run yet to others.
        self._concurrency = concurrency = (
            min(config.concurrency, processes) if router.only_processes else config.concurrency
        )
        self._slots = Slots(concurrency)
        self._settler = Settler(broker, high_water=max(1_000, 4 * concurrency), events=hooks.events)
        self._threads = Threads(concurrency + CONCURRENCY)  # handlers, and aggregate functions
        self._claims = Claims()
        self._processes = ProcessPool(
            processes,
            max_tasks=config.process_max_tasks,
            max_memory=config.process_max_memory,
            setup=Setup(
                log_levels=log_levels(),
                capture_level=logging.getLogger().level if config.capture_logs else None,
                initializer=hooks.process_initializer,
            ),
        )
        self.runner = Runner(
            router,
            clock=broker.clock,
            settler=self._settler,
            slots=self._slots,
            outputs=OutputWriter(broker),
            threads=self._threads,
            processes=self._processes,
            policy=policy,
            random=random,
            worker=self.id,
            on_error=hooks.on_error,
            state=state,
            events=hooks.events,
        )
        self._router = router
        self._capture = Capture(self.runner.environment) if config.capture_logs else None
        fetcher = self._fetcher()
        self._heartbeat = Heartbeat(
            broker,
            self.runner,
            self._settler,
            self.info,
            self._claims,
            lambda: fetcher.unstarted_since,
            lease=config.lease,
            use_keeper=config.lease_keeper,
            watchdog=Watchdog(
                self.runner, stuck_after=config.stuck_after, blocked_after=config.blocked_after
            ),
        )
        self._loops = [Loop(service, random) for service in self._services(hooks, fetcher)]
        self._fetching = Loop(fetcher, random)
        self._ending: asyncio.Task[None] | None = None

    def _services(self, hooks: Hooks, fetcher: Fetcher) -> list[Service]:
        broker, config = self._broker, self._config
        queues = tuple(config.queues)
        services: list[Service] = [
            Canceller(broker, self.runner, fetcher),
            PausedTypes(broker, queues, self.runner),
            Recoverer(
                broker,
                queues,
                self.runner,
                lease=config.lease,
                outstanding=self._settler.outstanding,
            ),
            Forwarder(broker, queues, self._random),
            Sweeper(broker, queues),
            GroupCheck(broker, queues),
        ]
        if hooks.aggregations:
            self._aggregator = Aggregator(
                broker,
                queues,
                config.group_rule,
                hooks.aggregations,
                self._threads,
                self._claims,
                max_failures=config.group_max_failures,
            )
            services.append(self._aggregator)
        if hooks.health_check is not None:
            services.append(Health(broker, hooks.health_check, config.health_interval))
        return services

    def _fetcher(self) -> Fetcher:
        return Fetcher(
            self._broker,
            QueueOrder(self._config.queues, strict=self._config.strict_priority),
            self._slots,
            self.runner,
            self._settler,
            lease=self._config.lease,
            owner=self.id,
            random=self._random,
        )

    def info(self) -> ServerInfo:
        """What the server publishes of itself now. Safe to call from any thread."""
        return ServerInfo(
            id=self.id,
            host=self._host,
            pid=os.getpid(),
            started_at=self._started_at,
            queues=dict(self._config.queues),
            strict_priority=self._config.strict_priority,
            concurrency=self._concurrency,
            status=self._status,
            workers=[attempt.info() for attempt in list(self.runner.running.values())],
            processed=self.runner.processed,
            failed=self.runner.failed,
            refused=self._settler.refused,
            at=self._broker.clock.now(),
            types=self._router.patterns(),
            group_rules=self._aggregator.rules if self._aggregator is not None else {},
            unmerged=self._aggregator.failed if self._aggregator is not None else 0,
        )

    def stats_now(self) -> ServerStats:
        """The state of the server now. Safe to call from any thread."""
        running = list(self.runner.running.values())
        return ServerStats(
            server=self.id,
            slots=self._slots.total,
            busy=len(running),
            stuck=sum(attempt.stuck_reports > 0 for attempt in running),
            unsettled=len(self._settler.outstanding()),
            heartbeat_age=self._heartbeat.age,
        )

    async def start(self) -> None:
        """Start all services. Raises BrokerError if the store does not answer; then everything is stopped again."""
        if self._capture is not None:
            self._capture.install()
        try:
            await self._heartbeat.start()
            self._settler.start()
            for loop in self._loops:
                await loop.start()
            await self._fetching.start()
        except BaseException:
            await self.stop(asyncio.Event())
            raise

    async def stop_fetching(self, timeout: float = TIMEOUT) -> None:
        """Fetch no more tasks; running handlers continue. A fetch that takes longer than `timeout` seconds is
        cancelled: its tasks go back to their queues."""
        self._status = "stopped"
        self._slots.wake()
        await self._fetching.stop(timeout)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Wait for handlers until the shutdown timeout (or `hurry`), return unfinished tasks to their queues, and
        stop everything. Unfinished tasks are pending again at once; that is no failure.

        Returns when everything is stopped. If the caller is cancelled, handlers get no more time, the rest is done
        as usual, and CancelledError is raised at the end. Callers share one end."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(hurry), name="asynqio end of the worker")
        await complete(self._ending, on_cancel=hurry.set)

    async def _end(self, hurry: asyncio.Event) -> None:
        """Every step runs, whatever the others raise: a heartbeat that is not stopped renews leases for ever."""
        now = asyncio.get_running_loop().time
        until = now() + self._config.shutdown_timeout
        # A step without a limit of its own: what the last fetch took must not start after the end.
        await self._step("fetcher", self.stop_fetching(min(self._config.shutdown_timeout, TIMEOUT)))
        await self._step("handlers", self._end_handlers(until - now(), hurry))
        until = min(until, now()) + ABORT_GRACE + CLOSE_TIMEOUT
        timeout = max(until - now() - LAST_FLUSH_TIMEOUT / 2, STEP_TIMEOUT)
        await self._step("services", _all(loop.stop(timeout) for loop in self._loops))
        await self._step("settler", self._settler.stop(min(LAST_FLUSH_TIMEOUT, max(until - now(), 1.0))))
        await self._step("heartbeat", self._heartbeat.stop(), until - now())
        self.runner.close()
        await self._step("task processes", self._processes.close(), until - now())
        self._threads.close()
        if self._capture is not None:
            self._capture.remove()

    async def _step(self, name: str, step: Awaitable[None], timeout: float | None = None) -> None:
        """Await one step of the end, for at most `timeout` seconds. Logs what it raises."""
        try:
            async with asyncio.timeout(None if timeout is None else max(timeout, STEP_TIMEOUT)):
                await step
        except (Exception, asyncio.CancelledError) as error:
            # CancelledError: the event loop is being closed. The remaining steps are needed all the same.
            log.error(
                "stopping the %s failed: %s",
                name,
                str(error) or type(error).__name__,
                exc_info=None if isinstance(error, TimeoutError | asyncio.CancelledError) else error,
                extra={"event": "stop_failed", "step": name, "error": str(error), "server_id": self.id},
            )

    async def _end_handlers(self, timeout: float, hurry: asyncio.Event) -> None:
        await self._wait_for_handlers(timeout, hurry)
        left = list(self.runner.running.values())
        if not left:
            return
        log.info(
            "%d handlers did not finish in time: their tasks are returned to their queues",
            len(left),
            extra={"event": "handlers_aborted", "count": len(left), "server_id": self.id},
        )
        # The last one first: each goes to the front of its queue, which restores their order.
        for attempt in reversed(left):
            attempt.stop(Aborted())
        await self._wait_for_handlers(ABORT_GRACE, asyncio.Event())
        for attempt in reversed(list(self.runner.running.values())):
            self.runner.abandon(attempt)

    async def _wait_for_handlers(self, timeout: float, hurry: asyncio.Event) -> None:
        tasks = [_task_of(attempt) for attempt in self.runner.running.values()]
        if not tasks or timeout <= 0:
            return
        everything = asyncio.ensure_future(asyncio.wait(tasks, timeout=timeout))
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait([everything, hurried], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (everything, hurried):
            waiting.cancel()
        await asyncio.gather(everything, hurried, return_exceptions=True)


async def _all(steps: Iterable[Awaitable[None]]) -> None:
    """Await all at once. Raises the first error after all have ended."""
    for answer in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer


def _task_of(attempt: Attempt) -> asyncio.Task[None]:
    assert attempt.asyncio_task is not None
    return attempt.asyncio_task
