"""App: tasks as decorated functions, with one client and one server."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, overload

from asynqio.app.app_client import AppClient
from asynqio.app.include import import_modules
from asynqio.app.run import Run
from asynqio.app.schedules import AppSchedules, Scheduled
from asynqio.app.task_checks import task_findings
from asynqio.app.task_function import TaskDecorator, TaskFunction, default_type, dotted_name, is_redeclared
from asynqio.brokers.contract.broker import Store
from asynqio.core.findings import Finding
from asynqio.core.retry import ExponentialRetry, FixedRetry, GoRetry, RetryLike, as_policy
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.schedules.misfire import Missed
from asynqio.core.task.naming import names_of
from asynqio.core.task.options import Seconds, TaskDefaults, TaskOptions, check_declared, check_retry, merge
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD
from asynqio.errors import BrokerUnavailable, ConfigError
from asynqio.mux import F, Lane, M, Mux, S, T
from asynqio.mux import R as Retried
from asynqio.runtime.duties.aggregation import Aggregate, Aggregation, check_pattern
from asynqio.runtime.hooks import OnError, OnFailure, OnRetry, OnSuccess, TaskHooks, task_hooks
from asynqio.runtime.scheduling.source import Source
from asynqio.runtime.server_config import ServerConfig, ServerOptions
from asynqio.scheduler import SYNC_EVERY, Scheduler
from asynqio.server import Lifespan, Server

if TYPE_CHECKING:
    from asynqio.testing.inline import AppTesting

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=Aggregate)
E = TypeVar("E", bound=OnError)
I = TypeVar("I", bound=Callable[[], object])  # noqa: E741


#: Settings of a server that are easily written at the App.
_SERVER_SETTINGS = dict.fromkeys(
    ServerOptions.__optional_keys__, "give it to app.run_worker(…), app.server(…) or asynqio worker"
)


class App(AppClient):
    """The tasks of one application.

        app = App("sqlite:///tasks.db")

        @app.task("email:send", queue="critical", max_retry=5)
        async def send_email(to: str, subject: str = "Welcome") -> None: ...

        await send_email.enqueue("ann@example.org")

    Run its tasks with `asynqio worker module:app`, or `app.run_worker()`. The broker is opened at the first use and
    closed at the end of an `async with app:` block or by `close()`.
    """

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        lifespan: Lifespan | None = None,
        process_initializer: Callable[[], object] | None = None,
        retry: RetryLike | None = None,
        is_failure: Callable[[BaseException], bool] | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        tracing: bool = False,
        **defaults: Unpack[TaskDefaults],
    ) -> None:
        """`broker` is a URL (default: `ASYNQIO_BROKER`), or a broker that you open and close. `lifespan`,
        `retry` and `is_failure` are as for `Server`. `max_payload`: the largest payload, in bytes. `tracing`:
        see `asynqio.otel`. All other options are defaults for the tasks of this app. Raises ConfigError,
        InvalidOption.
        """
        check_declared(defaults, "App", one_task=False, also=_SERVER_SETTINGS)
        if retry is not None:
            check_retry(retry, "App")
        super().__init__(broker, max_payload=max_payload, defaults=defaults)
        self.mux = Mux()
        self.lifespan_hook = lifespan
        self.process_initializer_hook = process_initializer
        self._retry = retry
        self._is_failure = is_failure
        self._functions: dict[str, TaskFunction[Any, Any, Any]] = {}
        self._schedules = AppSchedules()
        self.aggregations: dict[str, Aggregation] = {}
        self.error_hook: OnError | None = None
        self._testing: AppTesting | None = None
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
        on_success: OnSuccess | None = ...,
        on_retry: OnRetry | None = ...,
        on_failure: OnFailure | None = ...,
        **options: Unpack[TaskDefaults],
    ) -> TaskDecorator: ...
    def task(
        self,
        type: Any = None,
        /,
        *,
        run_in: Lane = "thread",
        retry: RetryLike | None = None,
        on_success: OnSuccess | None = None,
        on_retry: OnRetry | None = None,
        on_failure: OnFailure | None = None,
        **options: Unpack[TaskDefaults],
    ) -> Any:
        """Declare a task: `@app.task`, or `@app.task("type", **options)`.

        The type defaults to `module.function`. `async def` runs on the event loop, `def` in a thread, or in a
        process with `run_in="process"`. `retry` is the retry policy. The hooks are called as those of
        `app.on_success`, `app.on_retry` and `app.on_failure`, before them. To declare the same function again (a
        notebook, a reload) replaces it. Raises ConfigError (another function has this type), InvalidOption,
        InvalidName.
        """
        if callable(type):
            return self._declare(type, None, {}, "thread", None)
        hooks = task_hooks(on_success, on_retry, on_failure)

        def decorate(function: Callable[..., Any]) -> TaskFunction[Any, Any, Any]:
            return self._declare(function, type, options, run_in, retry, hooks)

        return decorate

    def _declare(
        self,
        function: Callable[..., Any],
        type: str | None,
        given: TaskDefaults,
        run_in: Lane,
        retry: RetryLike | None,
        hooks: TaskHooks | None = None,
    ) -> TaskFunction[Any, Any, Any]:
        name = type or default_type(function)
        check_declared(given, "task", name, one_task=False)
        if retry is not None:
            check_retry(retry, "task", name)
        options = merge(given)
        if isinstance(retry, GoRetry | FixedRetry | ExponentialRetry):
            options = merge(options, {"retry": retry})
        declared: TaskFunction[Any, Any, Any] = TaskFunction(self, function, name, options, run_in=run_in)
        before = self._functions.get(name)
        if before is not None:
            if not is_redeclared(before.function, function):
                names = f"{dotted_name(before.function)} and {dotted_name(function)}"
                raise ConfigError(
                    [f"task type {name!r} is declared twice, by {names}: give one of them another type"]
                )
            self._schedules.remove(name)
        policy = as_policy(retry) if retry is not None else None
        self.mux.add(name, declared.performer(), policy, hooks, replace=before is not None)
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
            schedules=self._schedules.entries,
            defaults=self._defaults,
            queues=names_of("queues", queues),
        )

    def cron(
        self,
        spec: str,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str = "",
        zone: str = "",
        missed: Missed = "once",
        **options: Unpack[TaskOptions],
    ) -> Callable[[Scheduled], Scheduled]:
        """Enqueue a task at each tick of a cron spec. Write it above `@app.task`, any number of times.

            @app.cron("*/5 9-17 * * mon-fri", zone="Europe/Berlin")
            @app.task
            async def report() -> None: ...

        `args` and `kwargs` are the arguments of the call, `options` those of its tasks; `name`, `zone` and
        `missed` are as for `ScheduleEntry`. Workers of the app fire it (unless `scheduler=False`), and so does
        `asynqio cron serve`. Raises InvalidSchedule, InvalidArguments, InvalidOption, ConfigError.
        """
        return self._schedules.declare(
            spec, args=args, kwargs=kwargs, name=name, zone=zone, missed=missed, options=options
        )

    @overload
    def middleware(self, function: M, /) -> M: ...
    @overload
    def middleware(self, /, *, in_handler_thread: Literal[True]) -> Callable[[T], T]: ...
    def middleware(self, function: M | None = None, /, *, in_handler_thread: bool = False) -> Any:
        """Wrap all handlers: `async def timing(task, call_next)`. The first one is outermost.

        `@app.middleware(in_handler_thread=True)` declares a plain function of (task, call_next) that runs around
        plain handlers in their own thread or process, for example to close database connections. See `Mux.use`."""
        use: Callable[..., Any] = self.mux.use
        if function is not None:
            return use(function)
        return functools.partial(use, in_handler_thread=in_handler_thread)

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
        timeout: Seconds | None = ...,
    ) -> Callable[[A], A]: ...
    def aggregate(
        self,
        pattern: Any = "",
        /,
        *,
        grace: Seconds | None = None,
        max_delay: Seconds | None = None,
        max_size: int | None = None,
        timeout: Seconds | None = None,
    ) -> Any:
        """Declare a function that merges the tasks of a ripe group into one: `@app.aggregate` for all groups,
        `@app.aggregate("user:", grace=5)` for the groups whose names begin with the pattern.

        `grace` and `max_delay` (seconds) and `max_size` (tasks) are the rule for these groups; the default of
        each is the setting of the server. An exact name wins, then the longest pattern. A call that takes longer than
        `timeout` seconds fails; default: no limit. Raises ConfigError.
        """
        if callable(pattern):
            return self.aggregate()(pattern)
        check_pattern(pattern)

        def declare(function: A) -> A:
            before = self.aggregations.get(pattern)
            if before is not None and not is_redeclared(before.function, function):
                which = f"for groups {pattern!r}" if pattern else "for all groups"
                raise ConfigError([f"there is an aggregate function {which} already"])
            self.aggregations[pattern] = Aggregation(
                function=function, grace=grace, max_delay=max_delay, max_size=max_size, timeout=timeout
            )
            return function

        return declare

    def on_error(self, function: E) -> E:
        """Declare a hook for each failed attempt, `(task, error, final)`. `final`: the task is archived, not retried.

        Not called for directives: `RetryIn`, `RevokeTask`, `SkipRetry` without a cause. A plain function runs in a
        thread. What it raises is logged and changes nothing."""
        self.error_hook = function
        return function

    def on_success(self, function: S) -> S:
        """Declare a hook for each task that succeeded, `(task, result)`. See `Mux.on_success`."""
        return self.mux.on_success(function)

    def on_retry(self, function: Retried) -> Retried:
        """Declare a hook for each failed attempt that will be retried, `(task, error)`. See `Mux.on_retry`."""
        return self.mux.on_retry(function)

    def on_failure(self, function: F) -> F:
        """Declare a hook for each task that is archived, `(task, error)`. See `Mux.on_failure`."""
        return self.mux.on_failure(function)

    def process_initializer(self, function: I) -> I:
        """Declare a function without arguments that runs once in each task process, before its first task. It must be
        at the top of a module. If it raises, the task fails with InitializerFailed and the process is replaced."""
        self.process_initializer_hook = function
        return function

    def lifespan(self, function: Lifespan) -> Lifespan:
        """Declare what surrounds the life of a server: an async context manager function; what it yields is
        `current().state`."""
        self.lifespan_hook = function
        return function

    # --- consuming --------------------------------------------------------------------------------

    def server(
        self,
        *,
        config: ServerConfig | None = None,
        health_check: Callable[[BrokerUnavailable | None], None] | None = None,
        random: Random | None = None,
        **options: Unpack[ServerOptions],
    ) -> Server:
        """A worker server for the tasks of this app. Run it with `await server.run(app.mux)` while the app is open
        (`run_worker` does both). The arguments are those of `Server`. Raises ConfigError."""
        return Server(
            self.broker,
            config=config,
            retry=self._retry,
            is_failure=self._is_failure,
            on_error=self.error_hook,
            aggregate=self.aggregations,
            health_check=health_check,
            lifespan=self.lifespan_hook,
            process_initializer=self.process_initializer_hook,
            random=random,
            **options,
        )

    @contextlib.asynccontextmanager
    async def running(self, **options: Unpack[ServerOptions]) -> AsyncIterator[Server]:
        """Run a server in this process until the end of the `async with` block: for tests, scripts and web
        applications with their own background work. Handles no signals. Raises ConfigError, BrokerError."""
        await self.open()
        server = self.server(**options)
        async with self._scheduling(server.config.scheduler), server.running(self.mux):
            yield server

    def run_worker(self, *, config: ServerConfig | None = None, **options: Unpack[ServerOptions]) -> Run:
        """Run a worker server, and fire the schedules, until SIGTERM or SIGINT. What `asynqio worker` runs.

        In plain code, `app.run_worker()` returns when the server has ended; on an event loop, await it.
        `config` or `options`: the settings of the server. Raises ConfigError, BrokerError.
        """
        return Run(lambda: self._work(config, options))

    async def _work(self, config: ServerConfig | None, options: ServerOptions) -> None:
        async with self:
            server = self.server(config=config, **options)
            async with self._scheduling(server.config.scheduler):
                await server.run(self.mux)

    def run_scheduler(self) -> Run:
        """Fire the schedules until SIGTERM or SIGINT. What `asynqio cron serve` runs.

        In plain code, `app.run_scheduler()` returns when the scheduler has ended; on an event loop, await it.
        """
        return Run(self._schedule)

    async def _schedule(self) -> None:
        async with self:
            await self.scheduler().run()

    @property
    def schedules(self) -> Sequence[ScheduleEntry]:
        """The entries declared with `@app.cron`."""
        return tuple(self._schedules.entries)

    def scheduler(self, *, source: Source | None = None, sync_every: float = SYNC_EVERY) -> Scheduler:
        """A scheduler for the entries of this app and of a `source`, which it reads every `sync_every` seconds;
        the app must be open while it runs (`run_scheduler` does both)."""
        return Scheduler(
            self.broker,
            entries=self._schedules.entries,
            source=source,
            sync_every=sync_every,
            max_payload=self._max_payload,
            **self._defaults,
        )

    @contextlib.asynccontextmanager
    async def _scheduling(self, wanted: bool) -> AsyncIterator[None]:
        """A scheduler beside a worker server, if there is anything to fire."""
        if not wanted or not self._schedules.entries:
            yield
            return
        async with self.scheduler():
            yield

    @property
    def testing(self) -> AppTesting:
        """Run tasks inline and list what was enqueued: for tests. Raises ConfigError unless the broker is a memory
        broker."""
        if self._testing is None or self._testing.broker is not self.broker:
            from asynqio.testing.inline import AppTesting

            self._testing = AppTesting(self)
        return self._testing

    def __repr__(self) -> str:
        return f"App({len(self._functions)} tasks)"
