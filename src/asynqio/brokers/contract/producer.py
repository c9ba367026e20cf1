"""Enqueueing from threads that have no event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

from asynqio.brokers.contract.results import Admission, Replaced
from asynqio.core.task.task import Entry

P = ParamSpec("P")
T = TypeVar("T")


class RunOnLoop(Protocol):
    """Runs a coroutine function on the event loop of the broker, blocks, and returns its result."""

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...


class Producer(Protocol):
    """Enqueues from any number of threads, and needs the event loop of its broker only when something fails."""

    def enqueue(self, entry: Entry) -> Admission | Replaced:
        """Enqueue one entry, which passed `Broker.check`. Blocks, and answers and raises as `Broker.enqueue` does."""
        ...

    def close(self) -> None:
        """Release what `enqueue` opened. The producer can be used again."""
        ...
