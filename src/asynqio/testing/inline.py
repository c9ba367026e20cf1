"""Runs the tasks of an app inside a test, one after the other, through the real attempt pipeline."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any, Protocol, TypeVar

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.inspection import Page, Where
from asynqio.brokers.memory import MemoryBroker
from asynqio.core.lifecycle import Policy, error_text
from asynqio.core.task.message import TaskInfo, TaskState
from asynqio.core.task.task import Task
from asynqio.errors import ConfigError, InitializerFailed
from asynqio.mux import Mux
from asynqio.runtime.attempts.attempt import Attempt
from asynqio.runtime.attempts.output_writer import OutputWriter
from asynqio.runtime.attempts.runner import Runner
from asynqio.runtime.attempts.settler import Settler
from asynqio.runtime.duties.aggregation import Aggregation
from asynqio.runtime.duties.aggregator import Aggregator
from asynqio.runtime.duties.claims import Claims
from asynqio.runtime.hooks import OnError
from asynqio.runtime.lanes.target import Target, target_of
from asynqio.runtime.lanes.threads import Threads
from asynqio.runtime.server_config import ServerConfig
from asynqio.runtime.slots import Slots
from asynqio.server import Lifespan
from asynqio.testing.clock import FakeClock

T = TypeVar("T")

#: States of enqueued tasks that have not run yet.
WAITING = (TaskState.PENDING, TaskState.SCHEDULED, TaskState.RETRY, TaskState.AGGREGATING)


class AppUnderTest(Protocol):
    """The parts of an App that a test needs."""

    mux: Mux
    aggregations: dict[str, Aggregation]
    error_hook: OnError | None
    lifespan_hook: Lifespan | None
    process_initializer_hook: Callable[[], object] | None

    @property
    def broker(self) -> Store: ...
    def on_broker(self, store: Store) -> contextlib.AbstractContextManager[object]: ...


class AppTesting:
    """Tests an app. Raises ConfigError unless its broker is a memory broker."""

    def __init__(self, app: AppUnderTest) -> None:
        broker = app.broker
        if not isinstance(broker, MemoryBroker):
            advice = "use `with asynqio.testing.isolated(app) as testing:`"
            raise ConfigError([f"app.testing needs a memory broker, this app has {broker.url}: {advice}"])
        self.app = app
        self.broker = broker
        self._processes = _Inline(app)

    @property
    def clock(self) -> FakeClock:
        """The clock of the broker. Raises ConfigError if it is not a FakeClock (see `isolated`)."""
        clock = self.broker.clock
        if not isinstance(clock, FakeClock):
            raise ConfigError(["this app uses the system clock: use `with asynqio.testing.isolated(app)`"])
        return clock

    def enqueued(self, type: str | None = None, *, queue: str | None = None) -> list[TaskInfo]:
        """Enqueued tasks that have not run yet, oldest first; `task.load()` decodes the payload."""
        return self.tasks(*WAITING, type=type, queue=queue)

    def tasks(self, *states: TaskState, type: str | None = None, queue: str | None = None) -> list[TaskInfo]:
        """All tasks in these states (default: in any state)."""
        found: list[TaskInfo] = []
        for name in _now(self.broker.queues()):
            for state in states or tuple(TaskState):
                if queue in (None, name):
                    found += _now(self.broker.tasks(Where(name, state), Page(1_000_000)))
        return [info for info in found if type in (None, info.type)]

    async def run_all(self, *, raise_failures: bool = True) -> int:
        """Run all pending and due tasks, and the tasks that they enqueue, until none is left.

        Returns the number of attempts. Aggregates ripe groups. With `raise_failures`, raises the error of a failed
        task at the end, or an ExceptionGroup of several. Handlers of all lanes run in this process; `current()` works
        in them.
        """
        failures: list[BaseException] = []
        app, broker = self.app, self.broker

        async def on_error(task: Task, error: BaseException, final: bool) -> None:
            failures.append(error)
            if app.error_hook is not None:
                answer = app.error_hook(task, error, final)
                if inspect.isawaitable(answer):
                    await answer

        async with contextlib.AsyncExitStack() as stack:
            state = await stack.enter_async_context(app.lifespan_hook()) if app.lifespan_hook else None
            settler, slots, threads = Settler(broker, 1_000), Slots(1), Threads(1)
            runner = Runner(
                app.mux,
                clock=broker.clock,
                settler=settler,
                slots=slots,
                outputs=OutputWriter(broker),
                threads=threads,
                processes=self._processes,
                policy=Policy(),
                random=Random(0),
                worker="testing",
                on_error=on_error,
                state=state,
            )
            settler.start()
            stack.callback(threads.close)
            stack.callback(runner.close)
            stack.push_async_callback(settler.stop, 5.0)
            count = 0
            while await self._run_one(runner, settler, slots, threads):
                count += 1
        if failures and raise_failures:
            if len(failures) == 1:
                raise failures[0]
            raise BaseExceptionGroup("several tasks failed", failures)
        return count

    async def _run_one(self, runner: Runner, settler: Settler, slots: Slots, threads: Threads) -> bool:
        queues = await self.broker.queues()
        await self.broker.forward(queues, 1_000_000)
        if self.app.aggregations:
            config = ServerConfig()
            aggregator = Aggregator(
                self.broker,
                queues,
                config.group_rule,
                self.app.aggregations,
                threads,
                Claims(),
                max_failures=config.group_max_failures,
            )
            await aggregator.open()
            await aggregator.once()
            await aggregator.drain()
            await aggregator.close()
        leases = await self.broker.dequeue(queues, 1, 3_600.0, "testing")
        if not leases:
            return False
        slots.take(1)
        runner.start(leases)
        for attempt in list(runner.running.values()):
            assert attempt.asyncio_task is not None
            await attempt.asyncio_task
        await settler.drain()
        return True


class _Inline:
    """Replaces the process pool: runs the handler in the event loop."""

    def __init__(self, app: AppUnderTest) -> None:
        self._app = app
        self._initialized = False

    async def run(self, target: Target, task: Task, attempt: Attempt) -> Any:
        if not self._initialized:
            await self._initialize()
        call = target.load()
        if target.middleware:  # plain code cannot await a coroutine handler on this event loop
            return await attempt.environment.threads.run(call, task, attempt=attempt)
        value = call(task)
        return await value if inspect.isawaitable(value) else value

    async def _initialize(self) -> None:
        """Call the process initializer of the app, once for all its tests."""
        if (initializer := self._app.process_initializer_hook) is not None:
            name = str(target_of(initializer, what="process_initializer"))
            try:
                value = initializer()
                if inspect.isawaitable(value):
                    await value
            except Exception as error:
                raise InitializerFailed(name, error_text(error)) from error
        self._initialized = True


@contextlib.contextmanager
def isolated(app: AppUnderTest, clock: FakeClock | None = None) -> Iterator[AppTesting]:
    """Run the app on a new memory broker with a FakeClock until the end of the block."""
    with app.on_broker(MemoryBroker(clock=clock or FakeClock())):
        yield AppTesting(app)


def _now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine of the memory broker, which never waits and so needs no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError("a coroutine of the memory broker waited")
