"""The events for a follower of a task."""

from __future__ import annotations

from typing import Any

from asynqio.core.attempts.follow import Follower, ProgressChange, StateChange, TaskEvent
from asynqio.core.attempts.record import AttemptOutcome, AttemptRecord, LogLine
from asynqio.core.task.message import TaskInfo, TaskState
from tests.builders import message

S = TaskState


def info(state: TaskState, *, progress: bytes | None = None, **fields: Any) -> TaskInfo:
    return TaskInfo.of(message("a", **fields), state, progress=progress)


def attempt(number: int, *texts: str, dropped: int = 0, over: bool = False) -> AttemptRecord:
    how = AttemptOutcome.FAILED if over else AttemptOutcome.RUNNING
    return AttemptRecord(number, outcome=how, log=[LogLine(0.0, text) for text in texts], log_dropped=dropped)


def events(follower: Follower, seen: TaskInfo | None, *attempts: AttemptRecord) -> list[Any]:
    """A short form of an event."""

    def short(event: TaskEvent) -> Any:
        match event:
            case StateChange(state, what):
                assert what is seen
                return state
            case ProgressChange(progress):
                return progress
            case LogLine(text=text):
                return text

    return [short(event) for event in follower.update(seen, attempts)]


def test_events_are_in_order() -> None:
    follower = Follower()
    assert events(follower, info(S.PENDING)) == [S.PENDING]
    assert events(follower, info(S.PENDING)) == []
    assert events(follower, info(S.ACTIVE), attempt(1)) == [S.ACTIVE]
    assert events(follower, info(S.ACTIVE, progress=b"1"), attempt(1, "a")) == [b"1", "a"]
    assert events(follower, info(S.ACTIVE, progress=b"1"), attempt(1, "a", "b")) == ["b"]
    over = attempt(1, "a", "b", "c", over=True)
    assert events(follower, info(S.RETRY, progress=b"2", retried=1), over) == [b"2", "c", S.RETRY]
    assert events(follower, info(S.ACTIVE, progress=b"2", retried=1), over, attempt(2, "d")) == [
        S.ACTIVE,
        "d",
    ]
    done = attempt(2, "d", "e", over=True)
    assert events(follower, info(S.COMPLETED, progress=b"3", retried=1), over, done) == [
        b"3",
        "e",
        S.COMPLETED,
    ]


def test_a_late_follower_gets_the_present_only() -> None:
    past = attempt(1, "old", over=True)
    follower = Follower()
    assert events(follower, info(S.RETRY, progress=b"1", retried=1), past) == [S.RETRY]
    follower = Follower()
    seen = info(S.ACTIVE, progress=b"1", retried=1)
    assert events(follower, seen, past, attempt(2, "new")) == [S.ACTIVE, b"1", "new"]


def test_dropped_lines_are_skipped_and_none_is_repeated() -> None:
    follower = Follower()
    assert events(follower, info(S.ACTIVE), attempt(1, "a", "b")) == [S.ACTIVE, "a", "b"]
    assert events(follower, info(S.ACTIVE), attempt(1, "b", "c", dropped=1)) == ["c"]
    assert events(follower, info(S.ACTIVE), attempt(1, "x", "y", dropped=9)) == ["x", "y"]


def test_a_retry_between_two_snapshots_is_reported() -> None:
    follower = Follower()
    events(follower, info(S.RETRY, retried=1), attempt(1, "a", over=True))
    after = info(S.RETRY, retried=2)
    assert events(follower, after, attempt(1, "a", over=True), attempt(2, "b", over=True)) == ["b", S.RETRY]


def test_a_deleted_task_is_reported_as_none() -> None:
    follower = Follower()
    events(follower, info(S.ACTIVE), attempt(1))
    assert events(follower, None) == [None]
