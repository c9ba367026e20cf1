"""A task as its producer writes it, and the entry that a broker stores for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack, overload

import msgspec

from asynqio.core.task import payload as payloads
from asynqio.core.task.ids import new_id
from asynqio.core.task.message import TaskMessage, TaskState
from asynqio.core.task.options import (
    DEFAULT_TIMEOUT,
    TaskOptions,
    article,
    check_declared,
    check_name,
    check_options,
)
from asynqio.core.task.unique import OnDuplicate, UniqueUntil, unique_key
from asynqio.errors import InvalidTask, NotSerializable, PayloadTooLarge

T = TypeVar("T")

#: The default of `max_payload`, in bytes.
DEFAULT_MAX_PAYLOAD = 1_048_576


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One task to be enqueued."""

    message: TaskMessage
    #: PENDING, SCHEDULED or AGGREGATING.
    state: TaskState = TaskState.PENDING
    #: For SCHEDULED: when it is due.
    process_at: float = 0.0
    #: Seconds to hold `lock`; 0: no lock.
    unique_ttl: float = 0.0
    #: The key of a throttle lock, which only time frees.
    throttle: str = ""
    #: What to do if a waiting task holds the lock.
    on_duplicate: OnDuplicate = OnDuplicate.REJECT
    #: Replace a COMPLETED or ARCHIVED task with the same id.
    replace_finished: bool = False

    @property
    def lock(self) -> str:
        """The key of the lock, if `unique_ttl` is more than 0."""
        return self.throttle or self.message.unique_key


class Task:
    """A type, a payload of bytes, and options: what a producer enqueues and what a handler receives.

    `payload=None` and `payload=b""` are different payloads, like nil and empty in Go. Raises InvalidName,
    InvalidOption, ConflictingOptions, NotSerializable.
    """

    __slots__ = ("options", "payload", "type")

    def __init__(self, /, type: str, payload: bytes | None = None, **options: Unpack[TaskOptions]) -> None:
        check_name("type", type)
        if payload is not None and not isinstance(payload, bytes):
            raise NotSerializable(
                type, f"the payload is {article(payload)}, not bytes (Task.json encodes values)"
            )
        if options:
            check_declared(options, "task", type)
        self.type = type
        self.payload = payload
        self.options = options

    @classmethod
    def json(cls, type: str, value: Any, **options: Unpack[TaskOptions]) -> Task:
        """A task whose payload is `value` as JSON. Raises as `Task` does."""
        return cls(type, payloads.encode(type, value), **options)

    @classmethod
    def declared(cls, type: str, payload: bytes | None, options: TaskOptions) -> Task:
        """A task whose type and options were checked when they were declared."""
        task = cls.__new__(cls)
        task.type = type
        task.payload = payload
        task.options = options
        return task

    @classmethod
    def received(cls, message: TaskMessage) -> Task:
        """The task of a stored message, for its handler. Nothing is checked again."""
        task = cls.__new__(cls)
        task.type = message.type
        task.payload = message.payload
        task.options = {"headers": message.headers} if message.headers else {}
        return task

    @overload
    def load(self) -> Any: ...
    @overload
    def load(self, as_type: type[T]) -> T: ...
    def load(self, as_type: Any = Any) -> Any:
        """Decode the JSON payload and check it against `as_type` (a dataclass, TypedDict, msgspec or pydantic
        model …).

        Raises BadPayload, which archives the task unless the handler catches it.
        """
        return payloads.decode(self.type, self.payload, as_type)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the task."""
        return self.options.get("headers", {})

    def __repr__(self) -> str:
        size = "none" if self.payload is None else f"{len(self.payload)} bytes"
        return f"Task({self.type!r}, payload: {size})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return (self.type, self.payload, self.options) == (other.type, other.payload, other.options)

    __hash__ = None  # type: ignore[assignment]


def make_entry(
    task: Task, options: TaskOptions, now: float, *, max_payload: int = DEFAULT_MAX_PAYLOAD
) -> Entry:
    """The entry for `task` with `options` (already merged). Raises InvalidTask.

    Its state: SCHEDULED if it is due later, else AGGREGATING if it has a group, else PENDING.
    """
    payload = task.payload
    if payload is not None and len(payload) > max_payload:
        raise PayloadTooLarge(task.type, len(payload), max_payload)
    if not options:
        return Entry(TaskMessage(new_id(now), task.type, payload=payload, timeout=DEFAULT_TIMEOUT))
    try:
        plan = check_options(options, now)
    except InvalidTask as error:
        raise error.within(f"task {task.type!r}") from None
    unique = plan.unique
    key, throttle = "", ""
    if unique.ttl:
        key = unique_key(plan.queue, task.type, payload if unique.by is None else unique.by)
        if unique.until is UniqueUntil.EXPIRED:
            key, throttle = "", key
    message = TaskMessage(
        id=new_id(now) if plan.task_id is None else plan.task_id,
        type=task.type,
        queue=plan.queue,
        payload=payload,
        max_retry=plan.max_retry,
        timeout=plan.timeout,
        deadline=plan.deadline,
        unique_key=key,
        unique_until=unique.until if key else UniqueUntil.FINISHED,
        group=plan.group,
        retention=plan.retention,
        headers=plan.headers,
    )
    later = plan.process_at > now
    state = TaskState.SCHEDULED if later else TaskState.AGGREGATING if plan.group else TaskState.PENDING
    at = plan.process_at if later else 0.0
    return Entry(message, state, at, unique.ttl, throttle, unique.on_duplicate, plan.replace_finished)
