"""App: tasks as decorated functions, one client and one server around them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack, overload

from asynqio.app.include import import_modules
from asynqio.app.schedules import AppSchedules
from asynqio.app.task_checks import task_findings
from asynqio.app.task_function import TaskFunction, module_name
from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.client import Client
from asynqio.config import broker_url
from asynqio.core.findings import Finding
from asynqio.core.retry import ExponentialRetry, FixedRetry, GoRetry, RetryLike, as_policy
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.task.message import TaskInfo
from asynqio.core.task.options import Seconds, TaskDefaults, TaskOptions, merge
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Task
from asynqio.errors import BrokerUnavailable, ConfigError, EnqueueError
from asynqio.inspector.inspector import Inspector
from asynqio.mux import Lane, M, Mux
from asynqio.runtime.duties.aggregation import Aggregate, Aggregation, check_pattern
from asynqio.runtime.runner import OnError
from asynqio.runtime.server_config import ServerConfig
from asynqio.server import Lifespan, Server, ServerOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asynqio.sync.facade import Client as SyncClient
    from asynqio.testing import AppTesting

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=Aggregate)
E = TypeVar("E", bound=OnError)


class App(AppSchedules):
    """The tasks of one application.

        app = App("sqlite:///tasks.db")

        @app.task("email:send", queue="critical", max_retry=5)
        async def send_email(to: str, subject: str = "Welcome") -> None: ...

        await send_email.enqueue("ann@example.org")

    Run its tasks with `asynqio worker module:app`. The broker is opened at the first use and closed at the
    end of an `async with app:` block or by `close()`. Without a URL, `ASYNQIO_BROKER` names it. `tracing`:
    see asynqio.otel.
    """

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        lifespan: Lifespan | None = None,
        retry: RetryLike | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        tracing: bool = False,
        **defaults: Unpack[TaskDefaults],
    ) -> None:
        self.mux = Mux()
        self._url = broker if isinstance(broker, str) else None
        self._store: Store | None = None if broker is None or isinstance(broker, str) else broker
        self._owned = self._store is None
        self.lifespan_hook = lifespan
        self._retry = retry
        self._is_failure = is_failure
        self._max_payload = max_payload
        self._defaults = merge(defaults)
        self._functions: dict[str, TaskFunction[Any, Any, Any]] = {}
        self._schedules: list[ScheduleEntry] = []
        self.aggregations: dict[str, Aggregation] = {}
        self.error_hook: OnError | None = None
        self._client: Client | None = None
        self._client_loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Lock | None = None
        self._open = False
        self._sync: SyncClient | None = None
        self._testing: AppTesting | None = None
        self._tracer: Callable[[Client], None] | None = None
        if tracing:
            from asynqio.otel import instrument

            instrument(self)

    # --- declaring --------------------------------------------------------------------------------

    @overload
    def task(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskFunction[P, Coroutine[Any, Any, R], R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> TaskFunction[P, R, R]: ...
    @overload
    def task(
        self,
        type: str | None = None,
        /,
        *,
        run_in: Lane = ...,
        retry: RetryLike | None = ...,
        **options: Unpack[TaskDefaults],
    ) -> _Decorator: ...
    def task(
        self,
        type: Any = None,
        /,
        *,
        run_in: Lane = "thread",
        retry: RetryLike | None = None,
        **options: Unpack[TaskDefaults],
    ) -> Any:
        """Declare a task: `@app.task`, or `@app.task("type", **options)`. The type defaults to
        `module.function`. `async def` runs on the event loop, `def` in a thread or with
        `run_in="process"` in a process. Raises ConfigError, InvalidOption."""
        if callable(type):
            return self._declare(type, None, {}, "thread", None)

        def decorate(function: Callable[..., Any]) -> TaskFunction[Any, Any, Any]:
            return self._declare(function, type, merge(options), run_in, retry)

        return decorate

    def _declare(
        self,
        function: Callable[..., Any],
        type: str | None,
        options: TaskOptions,
        run_in: Lane,
        retry: RetryLike | None,
    ) -> TaskFunction[Any, Any, Any]:
        name = type or f"{module_name(function.__module__)}.{function.__qualname__}"
        if isinstance(retry, GoRetry | FixedRetry | ExponentialRetry):
            options = merge(options, {"retry": retry})
        declared: TaskFunction[Any, Any, Any] = TaskFunction(self, function, name, options, run_in=run_in)
        self.mux.add(name, declared.performer(), as_policy(retry) if retry is not None else None)
        self._functions[name] = declared
        return declared

    @property
    def tasks(self) -> Mapping[str, TaskFunction[Any, Any, Any]]:
        """The declared functions by task type."""
        return self._functions

    def include(self, *modules: str) -> list[str]:
        """Import the modules that declare tasks: `app.include("shop.tasks")`, `app.include("shop.*")`.

        `*` matches any run of characters, dots included: `"shop.*"` imports every module of the package and its
        sub-packages, `"shop.*.tasks"` the module `tasks` of each. Returns the names of the imported modules.
        Raises ConfigError with every module that is missing or fails, and why.
        """
        return import_modules(modules)

    def check_tasks(self, queues: Collection[str]) -> list[Finding]:
        """What keeps a server that serves `queues` from running the tasks of this app: no handler at all
        (`no-handlers`), or task types and schedules of a queue that is not among them (`queue-not-served`).
        Reads declarations only, not the broker."""
        return task_findings(
            handlers=self.mux.patterns(),
            options={type: function.options for type, function in self._functions.items()},
            schedules=self._schedules,
            defaults=self._defaults,
            queues=queues,
        )

    def middleware(self, function: M) -> M:
        """Wrap all handlers: `async def timing(task, call_next)`. The first one is outermost."""
        return self.mux.use(function)

    @overload
    def aggregate(self, function: A, /) -> A: ...
    @overload
    def aggregate(
        self,
        pattern: str = "",
        /,
        *,
        grace: Seconds | None = ...,
        max_delay: Seconds | None = ...,
        max_size: int | None = ...,
    ) -> Callable[[A], A]: ...
    def aggregate(
        self,
        pattern: Any = "",
        /,
        *,
        grace: Seconds | None = None,
        max_delay: Seconds | None = None,
        max_size: int | None = None,
    ) -> Any:
        """Declare a function that makes one task out of the members of a ripe group: `@app.aggregate` for all groups,
        `@app.aggregate("user:", grace=5)` for those whose name begins so, with a rule of their own (what is left out
        is as the server's settings say). A group's whole name wins, then the longest pattern. Raises ConfigError."""
        if callable(pattern):
            return self.aggregate()(pattern)
        check_pattern(pattern)

        def declare(function: A) -> A:
            if pattern in self.aggregations:
                which = f"for groups {pattern!r}" if pattern else "for all groups"
                raise ConfigError([f"there is an aggregate function {which} already"])
            self.aggregations[pattern] = Aggregation(
                function=function, grace=grace, max_delay=max_delay, max_size=max_size
            )
            return function

        return declare

    def on_error(self, function: E) -> E:
        """Declare a hook that is told of every failed attempt: `(task, error)`, may be async."""
        self.error_hook = function
        return function

    def lifespan(self, function: Lifespan) -> Lifespan:
        """Declare what surrounds the life of a server: an async context manager function; what it yields is
        `current().state`."""
        self.lifespan_hook = function
        return function

    # --- the broker -------------------------------------------------------------------------------

    @property
    def broker(self) -> Store:
        """The store, made at the first use. Raises ConfigError when there is no URL."""
        if self._store is None:
            self._store = open_broker(broker_url(self._url))
        return self._store

    def use_broker(self, broker: str | Store) -> None:
        """Another broker than the one given at construction; before the first use. Raises ConfigError."""
        if self._open:
            raise ConfigError(["the app is in use already: choose the broker before the first task"])
        self._url = broker if isinstance(broker, str) else None
        self._store = None if isinstance(broker, str) else broker
        self._owned = self._store is None

    @contextlib.contextmanager
    def on_broker(self, store: Store) -> Iterator[Self]:
        """For tests: the app on another broker, until the end of the block."""
        names = (
            "_url",
            "_store",
            "_owned",
            "_client",
            "_client_loop",
            "_opening",
            "_open",
            "_sync",
            "_testing",
        )
        before = {name: getattr(self, name) for name in names}
        self._client = self._client_loop = self._opening = self._sync = self._testing = None
        self._url, self._store, self._owned, self._open = None, store, False, False
        try:
            yield self
        finally:
            self.__dict__.update(before)

    async def open(self) -> Client:
        """The client, opened at the first use. Raises BrokerError."""
        loop = asyncio.get_running_loop()
        if self._client is not None and self._client_loop is loop:
            return self._client
        if self._opening is None or self._client_loop is not loop:
            self._opening, self._client_loop, self._client = asyncio.Lock(), loop, None
        async with self._opening:
            if self._client is None:
                if self._owned and not self._open:
                    await self.broker.__aenter__()
                self._open = True
                self._client = Client(self.broker, max_payload=self._max_payload, **self._defaults)
                if self._tracer is not None:
                    self._tracer(self._client)
        return self._client

    async def close(self) -> None:
        """Close what was opened. The app can be used again afterwards."""
        self._client = self._client_loop = self._opening = None
        if self._open:
            self._open = False
            if self._owned:
                await self.broker.__aexit__(None, None, None)
                if self._url is None or self._url != "memory://":
                    self._store = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    # --- producing --------------------------------------------------------------------------------

    async def enqueue(self, task: Task, **options: Unpack[TaskOptions]) -> TaskInfo:
        """See `Client.enqueue`."""
        return await (await self.open()).enqueue(task, **options)

    async def enqueue_many(
        self, tasks: Iterable[Task], **options: Unpack[TaskOptions]
    ) -> list[TaskInfo | EnqueueError]:
        """See `Client.enqueue_many`: `await app.enqueue_many(resize.task(path, 800) for path in paths)`."""
        return await (await self.open()).enqueue_many(tasks, **options)

    async def result(
        self, id: str | TaskInfo, as_type: Any = Any, *, queue: str = "default", timeout: float | None = None
    ) -> Any:
        """See `Client.result`."""
        return await (await self.open()).result(id, as_type, queue=queue, timeout=timeout)

    @property
    def sync(self) -> SyncClient:
        """The same for code without an event loop; opened at the first use, closed with the process."""
        if self._sync is None:
            from asynqio.sync.facade import Client as SyncClient

            client = SyncClient(self.broker, max_payload=self._max_payload, **self._defaults)
            self._sync = client.open(own_broker=self._owned)
            if self._tracer is not None:
                self._tracer(client.awaited)
        return self._sync

    @property
    def inspector(self) -> Inspector:
        """Looks at the queues and tasks of the broker; the app must be open."""
        return Inspector(self.broker)

    def trace(self, tracer: Callable[[Client], None]) -> None:
        """Have `tracer` look at every client of this app, once. (`asynqio.otel.instrument` does.)"""
        self._tracer = tracer
        for client in (self._client, self._sync.awaited if self._sync is not None else None):
            if client is not None:
                tracer(client)

    # --- consuming --------------------------------------------------------------------------------

    def server(
        self,
        *,
        config: ServerConfig | None = None,
        health_check: Callable[[BrokerUnavailable | None], None] | None = None,
        random: Random | None = None,
        **options: Unpack[ServerOptions],
    ) -> Server:
        """A worker server for the tasks of this app; run it with `await server.run(app.mux)`, and the app
        must be open while it runs (`run_worker` does both)."""
        return Server(
            self.broker,
            config=config,
            retry=self._retry,
            is_failure=self._is_failure,
            on_error=self.error_hook,
            aggregate=self.aggregations,
            health_check=health_check,
            lifespan=self.lifespan_hook,
            random=random,
            **options,
        )

    @contextlib.asynccontextmanager
    async def running(self, **options: Unpack[ServerOptions]) -> AsyncIterator[Server]:
        """A server in this process, until the end of the `async with` block: for tests, scripts and web
        applications that do their own background work. Signals are left alone."""
        await self.open()
        server = self.server(**options)
        async with self._scheduling(server.config.scheduler), server.running(self.mux):
            yield server

    async def run_worker(
        self, *, config: ServerConfig | None = None, **options: Unpack[ServerOptions]
    ) -> None:
        """Work, and fire the schedules, until SIGTERM or SIGINT. What `asynqio worker` runs."""
        async with self:
            server = self.server(config=config, **options)
            async with self._scheduling(server.config.scheduler):
                await server.run(self.mux)

    async def run_scheduler(self) -> None:
        """Fire the schedules until SIGTERM or SIGINT. What `asynqio cron serve` runs."""
        async with self:
            await self.scheduler().run()

    @property
    def testing(self) -> AppTesting:
        """What tests need; only with a memory broker."""
        if self._testing is None:
            from asynqio.testing import AppTesting

            self._testing = AppTesting(self)
        return self._testing

    def __repr__(self) -> str:
        return f"App({len(self._functions)} tasks)"


if TYPE_CHECKING:

    class _Decorator:
        """What `@app.task(…)` gives: it keeps the function's signature."""

        @overload
        def __call__(
            self, function: Callable[P, Coroutine[Any, Any, R]], /
        ) -> TaskFunction[P, Coroutine[Any, Any, R], R]: ...
        @overload
        def __call__(self, function: Callable[P, R], /) -> TaskFunction[P, R, R]: ...
        def __call__(self, function: Any, /) -> Any: ...
