"""Server: the public interface of a worker server. The inside is runtime/worker.py."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from random import Random
from typing import Any, TypeAlias, Unpack

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.processes import is_task_process
from asynqio.config import load, store_of, unknown_variables
from asynqio.core.info import ServerInfo
from asynqio.core.lifecycle import Policy, every_error
from asynqio.core.retry import GoRetry, RetryLike, as_policy
from asynqio.errors import BrokerUnavailable, ConfigError, ServerStateError
from asynqio.mux import Mux
from asynqio.runtime.duties.aggregation import Aggregates, aggregations
from asynqio.runtime.events import Events, ServerStats
from asynqio.runtime.hooks import OnError
from asynqio.runtime.lanes.target import target_of
from asynqio.runtime.server_config import ServerConfig, ServerOptions
from asynqio.runtime.stop_signals import handle_signals
from asynqio.runtime.worker import Hooks, Worker

log = logging.getLogger("asynqio.server")

#: An async context manager around the life of a server. What it yields is `current().state`.
Lifespan: TypeAlias = Callable[[], AbstractAsyncContextManager[Mapping[str, Any] | None]]


class ServerState(enum.Enum):
    """new → active → stopped → closed."""

    NEW = "new"
    ACTIVE = "active"
    STOPPED = "stopped"
    CLOSED = "closed"


class Server:
    """Fetches tasks and runs their handlers.

        server = Server("sqlite:///tasks.db", concurrency=100, queues={"critical": 6, "default": 3})
        await server.run(mux)

    Options are the fields of `ServerConfig`; environment variables supply those that are not given. `on_error` is
    called with `(task, error, final)` after each failed attempt. `aggregate` makes one task out of the members of a
    group: a function for all groups, or a mapping with one for each pattern. `process_initializer`, a function at the
    top of a module, runs once in each task process before its first task. Raises ConfigError with every problem.
    """

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        config: ServerConfig | None = None,
        retry: RetryLike | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        on_error: OnError | None = None,
        aggregate: Aggregates | None = None,
        health_check: Callable[[BrokerUnavailable | None], None] | None = None,
        lifespan: Lifespan | None = None,
        process_initializer: Callable[[], object] | None = None,
        random: Random | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        if config is not None and options:
            raise ConfigError([f"give either config or {sorted(options)[0]}, not both"])
        self.config = config or load(options)[0]
        for message in unknown_variables():
            log.warning("%s", message, extra={"event": "unknown_variable"})
        self.broker, self._owned = store_of(broker)
        self._retry = as_policy(retry) if retry is not None else GoRetry()
        self._is_failure = is_failure or every_error
        #: Listen to what happens: `server.events.listen(function)`.
        self.events = Events()
        initializer = None
        if process_initializer is not None:
            initializer = target_of(process_initializer, what="process_initializer")
        self._hooks = Hooks(on_error, aggregations(aggregate), health_check, initializer, self.events)
        self._lifespan = lifespan
        self._random = random or Random()
        self._state = ServerState.NEW
        self._worker: Worker | None = None
        self._stack = AsyncExitStack()
        self._hurry = asyncio.Event()
        #: Set when the server and its lifespan have ended.
        self._closed = asyncio.Event()

    @property
    def state(self) -> ServerState:
        """Where the server is in its life."""
        return self._state

    def info(self) -> ServerInfo:
        """The server and its running tasks now. Raises ServerStateError unless it was started."""
        if self._worker is None:
            raise ServerStateError(f"the server is {self._state.value}")
        return self._worker.info()

    def stats_now(self) -> ServerStats | None:
        """The state of the server now; None before the start. Safe to call from any thread."""
        return None if self._worker is None else self._worker.stats_now()

    async def run(self, mux: Mux) -> None:
        """Start, work until SIGTERM, SIGHUP or SIGINT, shut down. SIGTSTP: fetch nothing new, finish what runs.

        A signal during the start, such as in a slow lifespan, cancels the start. A second SIGINT does not wait for
        the handlers. A second SIGTERM changes nothing: a service manager may send it to the supervisor and to this
        process, and the supervisor forwards its own."""
        done = asyncio.Event()
        with self._signals(done):
            if not await self._start_unless(done, mux):
                return
            try:
                await done.wait()
            finally:
                await self.shutdown()

    async def _start_unless(self, done: asyncio.Event, mux: Mux) -> bool:
        """Start, in this task because a lifespan must end where it began. False: `done` was set first."""

        async def give_up() -> None:
            await done.wait()
            limit.reschedule(asyncio.get_running_loop().time())

        giving_up = asyncio.create_task(give_up(), name="asynqio end of the start")
        try:
            async with asyncio.timeout(None) as limit:
                await self.start(mux)
        except TimeoutError:
            if not limit.expired():
                raise
            log.info("the server was stopped while it started", extra={"event": "start_cancelled"})
            return False
        finally:
            giving_up.cancel()
        return True

    @contextlib.asynccontextmanager
    async def running(self, mux: Mux) -> AsyncIterator[Server]:
        """Start, and shut down at the end of the `async with` block. Signals are not handled."""
        await self.start(mux)
        try:
            yield self
        finally:
            await self.shutdown()

    async def start(self, mux: Mux) -> None:
        """Start the server. Raises ServerStateError unless it is new, ConfigError, BrokerError if the store does not
        answer."""
        if is_task_process():
            raise ServerStateError(
                "a task process cannot start a server. Task processes import the program: start it under "
                'if __name__ == "__main__":'
            )
        if self._state is not ServerState.NEW:
            raise ServerStateError(f"the server is {self._state.value}, it can be started only once")
        if not isinstance(mux, Mux):
            raise ConfigError([f"the server needs a Mux, not {mux!r}"])
        try:
            if self._owned:
                await self._stack.enter_async_context(self.broker)
            state = await self._stack.enter_async_context(self._lifespan()) if self._lifespan else None
            self._worker = Worker(
                self.broker, mux, self.config, self._policy(), self._hooks, dict(state or {}), self._random
            )
            if self.config.metrics_port:
                await self._stack.enter_async_context(_metrics_of(self))
            await self._worker.start()
        except BaseException:
            self._state = ServerState.CLOSED
            try:
                await self._stack.aclose()
            finally:
                self._closed.set()
            raise
        self._state = ServerState.ACTIVE
        concurrency = self.info().concurrency
        log.info(
            "server started: broker %s, concurrency %d, queues %s, handlers for %s",
            self.broker.url,
            concurrency,
            ", ".join(f"{name}={weight}" for name, weight in self.config.queues.items()),
            ", ".join(mux.patterns()) or "nothing",
            extra={
                "event": "server_started",
                "server_id": self._worker.id,
                "broker": self.broker.url,
                "concurrency": concurrency,
                "queues": dict(self.config.queues),
                "task_types": mux.patterns(),
            },
        )

    async def stop(self) -> None:
        """Fetch nothing new; running handlers continue. No effect unless active."""
        if self._state is ServerState.ACTIVE and self._worker is not None:
            self._state = ServerState.STOPPED
            await self._worker.stop_fetching()
            log.info(
                "server stopped: it fetches no new tasks",
                extra={"event": "server_stopped", "server_id": self._worker.id},
            )

    async def shutdown(self) -> None:
        """Wait for handlers until `shutdown_timeout`, return the other tasks, close. No effect unless active or
        stopped; a second caller waits for the first.

        It returns only when nothing of the server is left. If the caller is cancelled (`asyncio.timeout`), handlers
        get no more time, and CancelledError is raised after at most ten seconds."""
        if self._state is ServerState.CLOSED:
            await self._closed.wait()
        if self._state not in (ServerState.ACTIVE, ServerState.STOPPED) or self._worker is None:
            return
        self._state = ServerState.CLOSED
        log.info(
            "server is shutting down: handlers have %g s to finish",
            self.config.shutdown_timeout,
            extra={
                "event": "shutdown_started",
                "server_id": self._worker.id,
                "timeout": self.config.shutdown_timeout,
            },
        )
        try:
            await self._worker.stop(self._hurry)
        finally:
            try:
                # Not in a task of its own: the lifespan must end in the task that began it, where possible.
                await self._stack.aclose()
            finally:
                self._closed.set()
                log.info("server closed", extra={"event": "server_closed", "server_id": self._worker.id})

    def _policy(self) -> Policy:
        config = self.config
        return Policy(
            retry=self._retry,
            is_failure=self._is_failure,
            unknown=config.unknown_tasks,
            unknown_delay=config.unknown_delay,
            max_crashes=config.max_crashes,
            traceback_limit=config.traceback_limit,
        )

    @contextlib.contextmanager
    def _signals(self, done: asyncio.Event) -> Iterator[None]:
        """TERM, HUP and INT shut the server down, TSTP stops it."""
        stopping: set[asyncio.Task[None]] = set()

        def interrupt() -> None:
            if done.is_set():
                self._hurry.set()
            done.set()

        def pause() -> None:
            stopping.add(asyncio.ensure_future(self.stop()))

        handlers = {"SIGTERM": done.set, "SIGHUP": done.set, "SIGINT": interrupt, "SIGTSTP": pause}
        with handle_signals(handlers):
            try:
                yield
            finally:
                for task in stopping:
                    task.cancel()


def _metrics_of(server: Server) -> AbstractAsyncContextManager[object]:
    """An endpoint with the metrics of a server, open during the context. Raises ConfigError."""
    from asynqio.metrics import Endpoint, ServerMetrics

    metrics = ServerMetrics(server)
    return Endpoint(metrics.registry, server.config.metrics_port, host=server.config.metrics_host)
