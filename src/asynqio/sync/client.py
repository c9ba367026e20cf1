"""asynqio.Client for code without an event loop.

    from asynqio.sync import Client

    with Client("sqlite:///tasks.db") as client:
        client.enqueue(Task.json("email:send", {"to": "ann@example.org"}))

Any number of threads may use one client. A test compares the signatures with those of the async class.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from asynqio import client as _client
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Replaced
from asynqio.core.attempts.follow import TaskEvent
from asynqio.core.task.message import TaskInfo
from asynqio.core.task.naming import AnyTask
from asynqio.core.task.options import TaskOptions
from asynqio.core.task.task import DEFAULT_MAX_PAYLOAD, Task
from asynqio.errors import EnqueueError
from asynqio.sync.facade import Facade
from asynqio.sync.portal import refuse_loop
from asynqio.task_actions import CancelOutcome

P = ParamSpec("P")
T = TypeVar("T")


class Client(Facade):
    """asynqio.Client, blocking: the same methods and signatures."""

    def __init__(
        self,
        broker: str | Store | None = None,
        *,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        **defaults: Unpack[TaskOptions],
    ) -> None:
        super().__init__(broker)
        self._client = _client.Client(self.broker, max_payload=max_payload, **defaults)
        self._producer = self.broker.producer(self._run)

    def _run(self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function on the present event loop; after a fork, it is another one than before."""
        return self._through.call(function, *args, **kwargs)

    def close(self) -> None:
        """Close. No effect the second time."""
        if self._producer is not None:
            self._producer.close()
        super().close()

    @property
    def awaited(self) -> _client.Client:
        """The async client that does the work, on the loop of this one."""
        return self._client

    def enqueue(self, task: Task, **options: Unpack[TaskOptions]) -> TaskInfo:
        """See `asynqio.Client.enqueue`."""
        through, client = self._through, self._client
        if self._producer is None or client.tracing is not None:
            return through.call(client.enqueue, task, **options)
        refuse_loop()
        entry = client._entry(task, options)
        admission = self._producer.enqueue(entry)
        if isinstance(admission, Replaced):
            return through.call(client._updated, entry, admission)
        return client._accepted(entry, admission)

    def enqueue_many(
        self, tasks: Iterable[Task], **options: Unpack[TaskOptions]
    ) -> list[TaskInfo | EnqueueError]:
        """See `asynqio.Client.enqueue_many`."""
        return self._through.call(self._client.enqueue_many, tasks, **options)

    def find(self, task: AnyTask, *, queue: str = "default") -> TaskInfo:
        """See `asynqio.Client.find`."""
        return self._through.call(self._client.find, task, queue=queue)

    @overload
    def result(
        self, task: AnyTask, as_type: type[T], *, queue: str = ..., timeout: float | None = ...
    ) -> T: ...
    @overload
    def result(self, task: AnyTask, *, queue: str = ..., timeout: float | None = ...) -> Any: ...
    def result(
        self, task: AnyTask, as_type: Any = Any, *, queue: str = "default", timeout: float | None = None
    ) -> Any:
        """See `asynqio.Client.result`."""
        return self._through.call(self._client.result, task, as_type, queue=queue, timeout=timeout)

    def wait(self, task: AnyTask, *, queue: str = "default", timeout: float | None = None) -> TaskInfo:
        """See `asynqio.Client.wait`."""
        return self._through.call(self._client.wait, task, queue=queue, timeout=timeout)

    def follow(self, task: AnyTask, *, queue: str = "default") -> Iterator[TaskEvent]:
        """See `asynqio.Client.follow`."""
        return self._through.iterate(self._client.follow(task, queue=queue))

    def cancel(self, task: AnyTask, *, queue: str = "default", final: bool = False) -> CancelOutcome:
        """See `asynqio.Client.cancel`."""
        return self._through.call(self._client.cancel, task, queue=queue, final=final)

    def delete(self, task: AnyTask, *, queue: str = "default") -> None:
        """See `asynqio.Client.delete`."""
        self._through.call(self._client.delete, task, queue=queue)
