"""Client: puts tasks in, waits for results, cancels."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Protocol, Self, TypeVar, Unpack, overload

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Admission, Moved, Replaced
from asynqio.brokers.contract.signals import changed, ended
from asynqio.config import store_of
from asynqio.core.attempts.follow import Follower, TaskEvent
from asynqio.core.lifecycle import Action
from asynqio.core.task import payload as payloads
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.core.task.options import TaskOptions, merge
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Entry, Task, make_entry
from asynqio.core.task.unique import unique_key
from asynqio.errors import (
    DuplicateTask,
    EnqueueError,
    ResultNotKept,
    ResultTimeout,
    TaskFailed,
    TaskIdConflict,
    TaskNotFound,
)
from asynqio.runtime.batcher import Batcher

T = TypeVar("T")

#: Entries per call to the broker, and per call to one behind a network.
CHUNK, PIECE = 1_000, 200
#: Calls that may be under way at once.
IN_FLIGHT = 4
#: Look again after so many seconds even if no signal came.
POLL = 5.0


class Tracing(Protocol):
    """Enqueues in the client's place. (`asynqio.otel` does.)"""

    async def enqueue(self, task: Task, options: TaskOptions) -> TaskInfo: ...
    async def enqueue_many(
        self, tasks: Iterable[Task], options: TaskOptions
    ) -> list[TaskInfo | EnqueueError]: ...


class Client:
    """Enqueues tasks. One client serves any number of coroutines of one event loop.

        async with Client("sqlite:///tasks.db") as client:
            info = await client.enqueue(Task.json("email:send", {"to": "ann@example.org"}), queue="critical")

    Options given here are defaults for all tasks of this client. `broker` is a URL (or `ASYNQIO_BROKER`),
    or a broker that you opened and close yourself.
    """

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        **defaults: Unpack[TaskOptions],
    ) -> None:
        self.broker, self._owned = store_of(broker)
        self._defaults = merge(defaults)
        self.tracing: Tracing | None = None
        self._max_payload = max_payload
        self._batcher: Batcher[Entry, Admission | Replaced] = Batcher(
            self.broker.enqueue, CHUNK, overlap=lambda: self.broker.round_trip > 0
        )

    async def __aenter__(self) -> Self:
        if self._owned:
            await self.broker.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._owned:
            await self.broker.__aexit__(*exc)

    # --- in ---------------------------------------------------------------------------------------

    async def enqueue(self, task: Task, **options: Unpack[TaskOptions]) -> TaskInfo:
        """Put one task in. From its return on, the task survives any crash (as far as the broker does).

        Concurrent calls share a call to the broker. Raises an InvalidTask, DuplicateTask, TaskIdConflict,
        BrokerUnavailable. A task that changed a waiting one (`on_duplicate`) is answered by that one.
        """
        if self.tracing is not None:
            return await self.tracing.enqueue(task, options)
        entry = self._entry(task, options)
        admission = await self._batcher.submit(entry)
        if isinstance(admission, Replaced):
            [changed] = await self._changed([(entry, admission)])
            return changed
        answer = self._answer(entry, admission)
        if isinstance(answer, EnqueueError):
            raise answer
        return answer

    async def enqueue_many(
        self, tasks: Iterable[Task], **options: Unpack[TaskOptions]
    ) -> list[TaskInfo | EnqueueError]:
        """Put many tasks in, of whatever mixture; one answer per task, in their order.

        What cannot be taken is answered by its error, and nothing else is disturbed by it. Raises
        BrokerUnavailable.
        """
        if self.tracing is not None:
            return await self.tracing.enqueue_many(tasks, options)
        tasks = [_task(task) for task in tasks]
        # Behind a network small pieces: the store works on one while the next one is made.
        size = PIECE if self.broker.round_trip else CHUNK
        answers: list[TaskInfo | EnqueueError] = []
        under_way: deque[asyncio.Task[list[TaskInfo | EnqueueError]]] = deque()
        try:
            for start in range(0, len(tasks), size):
                items = [self._checked(task, options) for task in tasks[start : start + size]]
                under_way.append(asyncio.create_task(self._put(items)))
                await asyncio.sleep(0)  # it goes out
                if len(under_way) > IN_FLIGHT:
                    answers += await under_way[0]
                    under_way.popleft()
            while under_way:
                answers += await under_way[0]
                under_way.popleft()
        finally:
            # One that failed must not leave the others unheard.
            await asyncio.gather(*under_way, return_exceptions=True)
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
                found = next(changed) if isinstance(admission, Replaced) else self._answer(item, admission)
                answers.append(found)
            else:
                answers.append(item)
        return answers

    async def _changed(self, replaced: Sequence[tuple[Entry, Replaced]]) -> list[TaskInfo]:
        """The tasks that were changed, as they are now; as they were meant to be if they are gone already."""
        refs = [TaskRef(entry.message.queue, answer.id) for entry, answer in replaced]
        return [
            info or self._info(entry, ref.id)
            for info, ref, (entry, _) in zip(await self.broker.find(refs), refs, replaced, strict=True)
        ]

    def _entry(self, task: Task, options: TaskOptions) -> Entry:
        _task(task)
        if self._defaults or task.options or options:
            options = merge(self._defaults, task.options, options)
        entry = make_entry(task, options, self.broker.clock.now(), max_payload=self._max_payload)
        self.broker.check(entry)
        return entry

    def _answer(self, entry: Entry, admission: Admission) -> TaskInfo | EnqueueError:
        message = entry.message
        if admission is Admission.DUPLICATE:
            by_payload = entry.lock == unique_key(message.queue, message.type, message.payload)
            return DuplicateTask(message.queue, message.type, "payload" if by_payload else "unique_key")
        if admission is Admission.ID_CONFLICT:
            return TaskIdConflict(message.queue, message.id)
        return self._info(entry, message.id)

    def _info(self, entry: Entry, id: str) -> TaskInfo:
        message = entry.message if entry.message.id == id else msgspec.structs.replace(entry.message, id=id)
        now = self.broker.clock.now()
        due = entry.process_at if entry.state is TaskState.SCHEDULED else now
        return TaskInfo.of(
            message, entry.state, next_process_at=0.0 if entry.state is TaskState.AGGREGATING else due
        )

    # --- out --------------------------------------------------------------------------------------

    async def find(self, id: str | TaskInfo, *, queue: str = "default") -> TaskInfo:
        """What is known of a task now, by its id and queue or by what `enqueue` gave. Raises TaskNotFound."""
        ref = _ref(id, queue)
        [info] = await self.broker.find([ref])
        if info is None:
            raise TaskNotFound(*ref)
        return info

    @overload
    async def result(
        self, id: str | TaskInfo, as_type: type[T], *, queue: str = ..., timeout: float | None = ...
    ) -> T: ...
    @overload
    async def result(self, id: str | TaskInfo, *, queue: str = ..., timeout: float | None = ...) -> Any: ...
    async def result(
        self, id: str | TaskInfo, as_type: Any = Any, *, queue: str = "default", timeout: float | None = None
    ) -> Any:
        """What the handler returned, as soon as it has: woken by a signal.

        `as_type=bytes` gives the stored bytes, anything else decodes them as JSON and checks the type. The
        task needs a retention that lasts until you ask. Raises ResultTimeout after `timeout` seconds,
        TaskFailed when it was archived, ResultNotKept, TaskNotFound.
        """
        info = await self.wait(id, queue=queue, timeout=timeout)
        if as_type is bytes or info.result is None:
            return info.result
        return payloads.decode(info.type, info.result, as_type)

    async def wait(
        self, id: str | TaskInfo, *, queue: str = "default", timeout: float | None = None
    ) -> TaskInfo:
        """Until the task is COMPLETED. Raises as `result` does."""
        ref = _ref(id, queue)
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        with self.broker.watch([ended(ref)]) as watch:
            while True:
                info = await self.find(ref.id, queue=ref.queue)
                if info.state is TaskState.COMPLETED:
                    return info
                if info.state is TaskState.ARCHIVED:
                    raise TaskFailed(*ref, info.last_error)
                if info.retention <= 0:
                    raise ResultNotKept(*ref)
                left = POLL if until is None else until - loop.time()
                if left <= 0:
                    raise ResultTimeout(*ref, timeout or 0.0, info.state)
                await watch.wait(min(left, POLL))

    async def follow(self, id: str | TaskInfo, *, queue: str = "default") -> AsyncIterator[TaskEvent]:
        """What happens to a task, as it happens: first where it is, then each change of state, progress, and line
        that its handler writes; woken by signals. Ends when it is COMPLETED, ARCHIVED or gone.

        States that pass in a moment may be left out. Raises TaskNotFound, before anything, when it is not there.
        """
        ref, follower, seen = _ref(id, queue), Follower(), False
        with self.broker.watch([changed(ref)]) as watch:
            while True:
                [info] = await self.broker.find([ref])
                # Asked after it, so that nothing of what led to this state is missing.
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

    async def cancel(self, id: str | TaskInfo, *, queue: str = "default") -> None:
        """Tell whoever runs the task to stop. As in Go it then counts as failed and is retried, unless the
        handler decides otherwise. A task that is not running is not touched."""
        await self.broker.cancel([_ref(id, queue)])

    async def delete(self, ids: Sequence[str], *, queue: str = "default") -> list[Moved]:
        """Remove tasks that are not running; one answer per id."""
        return await self.broker.move(Action.DELETE, [TaskRef(queue, id) for id in ids])

    def __repr__(self) -> str:
        return f"Client({self.broker.url!r})"


def _task(task: Task) -> Task:
    if not isinstance(task, Task):
        raise TypeError(f"enqueue takes a Task, not {task!r}; make one with Task.json(type, value)")
    return task


def _ref(id: str | TaskInfo, queue: str) -> TaskRef:
    return id.ref if isinstance(id, TaskInfo) else TaskRef(queue, id)
