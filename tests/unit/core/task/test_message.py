"""What is stored of a task, and what is shown of it."""

from __future__ import annotations

import msgspec

from asynqio.core.info import QueueStats
from asynqio.core.task.message import TaskInfo, TaskMessage, TaskState
from tests.builders import message


def test_a_snapshot_is_the_message_and_what_the_broker_knows() -> None:
    one = message("a", queue="q", headers={"k": "v"}, retried=2)
    info = TaskInfo.of(one, TaskState.RETRY, next_process_at=5.0)
    assert {name: getattr(info, name) for name in TaskMessage.__struct_fields__} == msgspec.structs.asdict(
        one
    )
    assert (info.state, info.next_process_at, info.ref) == (TaskState.RETRY, 5.0, ("q", "a"))


def test_a_task_is_final_when_nothing_happens_to_it_by_itself() -> None:
    final = {state for state in TaskState if TaskInfo.of(message(), state).is_final}
    assert final == {TaskState.COMPLETED, TaskState.ARCHIVED}


def test_states_are_the_strings_that_go_stores() -> None:
    assert [str(state) for state in TaskState] == [
        "pending",
        "active",
        "scheduled",
        "retry",
        "archived",
        "completed",
        "aggregating",
    ]


def test_the_size_of_a_queue_counts_every_state() -> None:
    stats = QueueStats(
        "q", pending=1, active=2, scheduled=4, retry=8, archived=16, completed=32, aggregating=64
    )
    assert stats.size == 127
