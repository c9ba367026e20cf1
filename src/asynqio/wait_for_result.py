"""Waits until a task is completed, and decodes its result."""

from __future__ import annotations

import asyncio
from typing import Any

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.signals import ended
from asynqio.core.task import payload as payloads
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.errors import ResultNotKept, ResultTimeout, TaskFailed
from asynqio.task_actions import find_one

#: Seconds after which a wait reads the task again, in case a signal was lost.
POLL = 5.0


async def wait_for_result(broker: Store, ref: TaskRef, timeout: float | None) -> TaskInfo:
    """Wait until the task is COMPLETED, at most `timeout` seconds. A signal ends the wait.

    Raises ResultTimeout, TaskFailed when the task was archived, ResultNotKept, TaskNotFound.
    """
    loop = asyncio.get_running_loop()
    until = None if timeout is None else loop.time() + timeout
    with broker.watch([ended(ref)]) as watch:
        while True:
            info = await find_one(broker, ref)
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


def result_of(info: TaskInfo, as_type: Any) -> Any:
    """The result of a completed task: its bytes for `bytes`, else decoded from JSON and checked."""
    if as_type is bytes or info.result is None:
        return info.result
    return payloads.decode(info.type, info.result, as_type)
