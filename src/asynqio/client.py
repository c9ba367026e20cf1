"""Client: enqueues tasks, waits for results, cancels."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Protocol, Self, TypeVar, Unpack, overload

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.per_loop import PerLoop
from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.brokers.contract.signals import changed
from asynqio.config import store_of
from asynqio.core.attempts.follow import Follower, TaskEvent
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskRef, TaskState
from asynqio.core.task.naming import AnyTask, ref_of
from asynqio.core.task.option_values import payload_limit
from asynqio.core.task.options import TaskOptions, check_declared, merge
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Entry, Task, make_entry
from asynqio.core.task.unique import unique_key
from asynqio.errors import (
    DuplicateTask,
    EnqueueError,
    InvalidTask,
    TaskIdConflict,
    TaskNotFound,
)
from asynqio.runtime.batcher import Batcher
from asynqio.task_actions import CancelOutcome, act_on_one, cancel_one, find_one
from asynqio.wait_for_result import POLL, result_of, wait_for_result

T = TypeVar("T")

#: Entries per call to the broker, and per call to one behind a network.
CHUNK, PIECE = 1_000, 200
#: Concurrent calls to the broker in `enqueue_many`.
IN_FLIGHT = 4
#: Measured: to look up a member of an enum in its class takes 0.12 µs before Python 3.12.
_ACCEPTED, _PENDING = Admission.ACCEPTED, TaskState.PENDING


class Tracing(Protocol):
    """Wraps the enqueue calls of a client. Set by `asynqio.otel`."""

    async def enqueue(self, task: Task, options: TaskOptions) -> TaskInfo: ...
    async def enqueue_many(
        self, tasks: Iterable[Task], options: TaskOptions
    ) -> list[TaskInfo | EnqueueError]: ...


class Client:
    """Enqueues tasks. One client serves any number of coroutines, on any event loops.

        async with Client("sqlite:///tasks.db") as client:
            info = await client.enqueue(Task.json("email:send", {"to": "ann@example.org"}), queue="critical")

    `broker` is a URL (default: `ASYNQIO_BROKER`), or a broker that you open and close. `max_payload` is the largest
    payload in bytes. All other options are defaults for the tasks of this client. Raises ConfigError, InvalidOption.
    """

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        **defaults: Unpack[TaskOptions],
    ) -> None:
        check_declared(defaults, "Client")
        self.broker, self._owned = store_of(broker)
        self._defaults = merge(defaults)
        self.tracing: Tracing | None = None
        self._max_payload = payload_limit("max_payload", max_payload)
        self._batchers: PerLoop[Batcher[Entry, Admission | Replaced]] = PerLoop(self._make_batcher)

    def _make_batcher(self) -> Batcher[Entry, Admission | Replaced]:
        return Batcher(self.broker.enqueue, CHUNK, overlap=lambda: self.broker.round_trip > 0)

    async def __aenter__(self) -> Self:
        if self._owned:
            await self.broker.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._owned:
            await self.broker.__aexit__(*exc)

    # --- in ---------------------------------------------------------------------------------------

    async def enqueue(self, task: Task, **options: Unpack[TaskOptions]) -> TaskInfo:
        """Enqueue one task. Once this returns, the task is durable (as far as the broker is).

        Concurrent calls share one call to the broker. If the task replaced or rescheduled a waiting one
        (`on_duplicate`), returns that one. Raises InvalidTask, DuplicateTask, TaskIdConflict, BrokerUnavailable.
        """
        if self.tracing is not None:
            return await self.tracing.enqueue(task, options)
        entry = self._entry(task, options)
        admission = await self._batchers.get().submit(entry)
        if isinstance(admission, Replaced):
            return await self._updated(entry, admission)
        return self._accepted(entry, admission)

    async def enqueue_many(
        self, tasks: Iterable[Task], **options: Unpack[TaskOptions]
    ) -> list[TaskInfo | EnqueueError]:
        """Enqueue any number of tasks, of any types; one answer per task, in their order.

        A task that cannot be enqueued is answered by its error and does not affect the others. Raises
        BrokerUnavailable, and InvalidOption for `options` that no task takes.
        """
        check_declared(options, "enqueue_many")
        if self.tracing is not None:
            return await self.tracing.enqueue_many(tasks, options)
        tasks = _tasks(tasks)
        # Behind a network, small pieces: the store works on one while the next one is encoded.
        size = PIECE if self.broker.round_trip else CHUNK
        answers: list[TaskInfo | EnqueueError] = []
        calls: deque[asyncio.Task[list[TaskInfo | EnqueueError]]] = deque()
        try:
            for start in range(0, len(tasks), size):
                items = [self._checked(task, options) for task in tasks[start : start + size]]
                calls.append(asyncio.create_task(self._put(items)))
                await asyncio.sleep(0)  # start the call
                if len(calls) > IN_FLIGHT:
                    answers += await calls[0]
                    calls.popleft()
            while calls:
                answers += await calls[0]
                calls.popleft()
        finally:
            # When one call fails, still await the others.
            await asyncio.gather(*calls, return_exceptions=True)
        return answers

    def _checked(self, task: Task, options: TaskOptions) -> Entry | EnqueueError:
        try:
            return self._entry(task, options)
        except EnqueueError as error:
            return error

    async def _put(self, items: list[Entry | EnqueueError]) -> list[TaskInfo | EnqueueError]:
        entries = [item for item in items if isinstance(item, Entry)]
        admissions = await self.broker.enqueue(entries)
        replaced = [pair for pair in zip(entries, admissions, strict=True) if isinstance(pair[1], Replaced)]
        changed = iter(await self._changed(replaced) if replaced else ())  # type: ignore[arg-type]
        outcome = iter(admissions)
        answers: list[TaskInfo | EnqueueError] = []
        for item in items:
            if isinstance(item, Entry):
                admission = next(outcome)
                if admission is _ACCEPTED:
                    answers.append(self._info(item, item.message))
                elif isinstance(admission, Replaced):
                    answers.append(next(changed))
                else:
                    answers.append(self._refusal(item, admission))
            else:
                answers.append(item)
        return answers

    async def _changed(self, replaced: Sequence[tuple[Entry, Replaced]]) -> list[TaskInfo]:
        """The changed tasks as they are now, or as requested if they no longer exist."""
        refs = [TaskRef(entry.message.queue, answer.id) for entry, answer in replaced]
        return [
            info or self._info(entry, msgspec.structs.replace(entry.message, id=ref.id))
            for info, ref, (entry, _) in zip(await self.broker.find(refs), refs, replaced, strict=True)
        ]

    # Of these, `enqueue` consists; the blocking client uses them too.

    def _entry(self, task: Task, options: TaskOptions) -> Entry:
        """The entry of a call of `enqueue`. Raises InvalidTask."""
        _task(task)
        if self._defaults or task.options or options:
            try:
                options = merge(self._defaults, task.options, options)
            except InvalidTask as error:
                raise error.within(f"task {task.type!r}") from None
        entry = make_entry(task, options, self.broker.clock.now(), max_payload=self._max_payload)
        self.broker.check(entry)
        return entry

    def _accepted(self, entry: Entry, admission: Admission) -> TaskInfo:
        """The task of an entry. Raises the error of an entry that was refused."""
        if admission is _ACCEPTED:
            return self._info(entry, entry.message)
        raise self._refusal(entry, admission)

    async def _updated(self, entry: Entry, replaced: Replaced) -> TaskInfo:
        """The task that an entry replaced or rescheduled."""
        [changed] = await self._changed([(entry, replaced)])
        return changed

    def _refusal(self, entry: Entry, admission: Admission) -> EnqueueError:
        """The error of an entry that was not accepted."""
        message = entry.message
        if admission is Admission.DUPLICATE:
            by_payload = entry.lock == unique_key(message.queue, message.type, message.payload)
            return DuplicateTask(message.queue, message.type, "payload" if by_payload else "unique_key")
        return TaskIdConflict(message.queue, message.id)

    def _info(self, entry: Entry, message: TaskMessage) -> TaskInfo:
        """The task as it was enqueued."""
        state = entry.state
        if state is _PENDING:
            return TaskInfo.of(message, state, self.broker.clock.now())
        return TaskInfo.of(message, state, entry.process_at)

    # --- out --------------------------------------------------------------------------------------

    async def find(self, task: AnyTask, *, queue: str = "default") -> TaskInfo:
        """The present state of a task. Raises TaskNotFound.

        Here and below, `task` is an id, a TaskHandle or a TaskInfo; `queue` is the queue of an id.
        """
        return await find_one(self.broker, ref_of(task, queue))

    @overload
    async def result(
        self, task: AnyTask, as_type: type[T], *, queue: str = ..., timeout: float | None = ...
    ) -> T: ...
    @overload
    async def result(self, task: AnyTask, *, queue: str = ..., timeout: float | None = ...) -> Any: ...
    async def result(
        self, task: AnyTask, as_type: Any = Any, *, queue: str = "default", timeout: float | None = None
    ) -> Any:
        """Wait for the task to complete and return what its handler returned.

        `as_type=bytes` returns the stored bytes; any other type decodes them as JSON and checks them. The task
        needs a `retention` that lasts until you ask. Raises ResultTimeout after `timeout` seconds, TaskFailed when
        the task was archived, ResultNotKept, TaskNotFound.
        """
        return result_of(await self.wait(task, queue=queue, timeout=timeout), as_type)

    async def wait(self, task: AnyTask, *, queue: str = "default", timeout: float | None = None) -> TaskInfo:
        """Wait until the task is COMPLETED. A signal ends the wait. Raises as `result` does."""
        return await wait_for_result(self.broker, ref_of(task, queue), timeout)

    async def follow(self, task: AnyTask, *, queue: str = "default") -> AsyncIterator[TaskEvent]:
        """Yield what happens to a task as it happens: its present state first, then each change of state, each
        progress report and each log line of its handler. Ends when the task is COMPLETED, ARCHIVED or deleted.

        A state that lasts only a moment may be left out. Raises TaskNotFound before the first event.
        """
        ref, follower, seen = ref_of(task, queue), Follower(), False
        with self.broker.watch([changed(ref)]) as watch:
            while True:
                [info] = await self.broker.find([ref])
                # Read after the state, so that nothing that led to it is missing.
                [attempts] = await self.broker.attempts([ref])
                if info is None and not seen:
                    raise TaskNotFound(*ref)
                seen = True
                for event in follower.update(info, attempts):
                    yield event
                if info is None or info.is_final:
                    return
                await watch.wait(POLL)

    # --- control ----------------------------------------------------------------------------------

    async def cancel(self, task: AnyTask, *, queue: str = "default", final: bool = False) -> CancelOutcome:
        """Delete a task that waits, or stop one that runs; the answer says which.

        A handler that is stopped counts as failed, and the task is retried as after any failure; with `final` it
        is archived instead, unless the handler completes all the same or raises RevokeTask. (A Go server stops it
        and knows nothing of `final`.) A completed or archived task is left as it is: FINISHED. Raises
        TaskNotFound, and WrongState while the task's group is being aggregated.
        """
        return await cancel_one(self.broker, ref_of(task, queue), final=final)

    async def delete(self, task: AnyTask, *, queue: str = "default") -> None:
        """Delete a task that does not run, in any state. Raises TaskNotFound, WrongState (it runs)."""
        await act_on_one(self.broker, Action.DELETE, ref_of(task, queue))

    def __repr__(self) -> str:
        return f"Client({self.broker.url!r})"


def _task(task: object) -> Task:
    if isinstance(task, Task):
        return task
    # A task function makes the tasks of its calls.
    advice = "write function.task(…)" if hasattr(task, "task") else "make one with Task.json(type, value)"
    raise TypeError(f"enqueue takes a Task, not {task!r}: {advice}")


def _tasks(tasks: Iterable[Task]) -> list[Task]:
    if isinstance(tasks, Task | str) or not isinstance(tasks, Iterable):
        raise TypeError(f"enqueue_many takes a list of tasks: write [{tasks!r}]")
    return [_task(task) for task in tasks]
