"""Act on named tasks: the rules that `Client` and `Inspector` share."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Moved
from asynqio.core.lifecycle import Action
from asynqio.core.task.message import TaskInfo, TaskRef, TaskState
from asynqio.errors import TaskNotFound, WrongState

#: Looks at a task that changes its state while it is cancelled. Each costs one call to the broker.
LOOKS = 3


class CancelOutcome(enum.StrEnum):
    """What `cancel` did with a task."""

    #: It waited (pending, scheduled, retry, aggregating) and is deleted.
    DELETED = "deleted"
    #: It runs: its server was notified to stop it.
    STOPPING = "stopping"
    #: It is completed or archived: nothing changed.
    FINISHED = "finished"
    #: `cancel_many` only (`cancel` raises TaskNotFound): the queue has no such task.
    NOT_FOUND = "not_found"
    #: `cancel_many` only (`cancel` raises WrongState): its group is being aggregated at this moment.
    WRONG_STATE = "wrong_state"


async def find_one(broker: Store, ref: TaskRef) -> TaskInfo:
    """The task. Raises TaskNotFound."""
    [info] = await broker.find([ref])
    if info is None:
        raise TaskNotFound(*ref)
    return info


async def act_on_one(broker: Store, action: Action, ref: TaskRef) -> None:
    """Run, archive or delete one task. Raises TaskNotFound, WrongState."""
    [answer] = await broker.move(action, [ref])
    await check_answer(broker, answer, f"{action.value} is", ref)


async def check_answer(broker: Store, answer: Moved, verb: str, ref: TaskRef) -> None:
    """Raises TaskNotFound or WrongState unless the action was done."""
    if answer is Moved.NOT_FOUND:
        raise TaskNotFound(*ref)
    if answer is Moved.WRONG_STATE:
        info = await find_one(broker, ref)
        raise WrongState(f"task {ref.id!r} of queue {ref.queue!r} is {info.state}: {verb} not possible now")


async def cancel_one(broker: Store, ref: TaskRef, *, final: bool) -> CancelOutcome:
    """Cancel one task. Raises TaskNotFound, WrongState."""
    [outcome] = await cancel_all(broker, [ref], final=final)
    if outcome is CancelOutcome.NOT_FOUND:
        raise TaskNotFound(*ref)
    if outcome is CancelOutcome.WRONG_STATE:
        raise WrongState(f"task {ref.id!r} of queue {ref.queue!r} is being aggregated: cancel it again later")
    return outcome


async def cancel_all(broker: Store, refs: Sequence[TaskRef], *, final: bool) -> list[CancelOutcome]:
    """Delete the tasks that wait and stop those that run; one answer per task, in their order.

    A task that changes its state in between is looked at again, so that none slips through on its way from
    the queue to a server.
    """
    outcomes: dict[TaskRef, CancelOutcome] = {}
    left = list(dict.fromkeys(refs))
    for _ in range(LOOKS):
        waiting: dict[TaskState, list[TaskRef]] = {}
        running: list[TaskRef] = []
        for ref, info in zip(left, await broker.find(left), strict=True):
            if info is None:
                outcomes[ref] = CancelOutcome.NOT_FOUND
            elif info.is_final:
                outcomes[ref] = CancelOutcome.FINISHED
            elif info.state is TaskState.ACTIVE:
                outcomes[ref] = CancelOutcome.STOPPING
                running.append(ref)
            else:
                waiting.setdefault(info.state, []).append(ref)
        if running:
            await broker.cancel(running, archive=final)
        left = []
        for state, group in waiting.items():
            for ref, answer in zip(group, await broker.move(Action.DELETE, group, state=state), strict=True):
                if answer is Moved.DONE:
                    outcomes[ref] = CancelOutcome.DELETED
                else:
                    left.append(ref)
        if not left:
            break
    return [outcomes.get(ref, CancelOutcome.WRONG_STATE) for ref in refs]
