"""One way to name a task: its id and queue, its handle, or its TaskInfo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

from asynqio.core.task.message import TaskRef


class HasRef(Protocol):
    """A TaskHandle, a TaskInfo: anything that knows its queue and id."""

    @property
    def ref(self) -> TaskRef: ...


#: What names a task: an id (its queue is given beside it), a TaskHandle or a TaskInfo.
AnyTask: TypeAlias = str | HasRef


def ref_of(task: AnyTask, queue: str) -> TaskRef:
    """The queue and id of a task; `queue` counts for a bare id only. Raises TypeError."""
    if isinstance(task, str):
        return TaskRef(queue, task)
    ref = getattr(task, "ref", None)
    if not isinstance(ref, TaskRef):
        raise TypeError(f"name a task by its id, its TaskHandle or its TaskInfo, not by {task!r}")
    return ref


def refs_of(tasks: Iterable[AnyTask], queue: str) -> list[TaskRef]:
    """The same for several tasks. Raises TypeError, also for a bare string: its letters are not ids."""
    refuse_string("tasks", tasks)
    if not isinstance(tasks, Iterable):
        raise TypeError(f"tasks takes a list of tasks: write [{tasks!r}]")
    return [ref_of(task, queue) for task in tasks]


def refuse_string(what: str, values: object) -> None:
    """Raises TypeError when a string stands where a sequence of strings is due."""
    if isinstance(values, str | bytes):
        raise TypeError(f"{what} takes a list, not a single value: write [{values!r}]")


def names_of(what: str, values: Iterable[str]) -> list[str]:
    """A list of names, such as queues. Raises TypeError for a bare string."""
    refuse_string(what, values)
    return list(values)
