"""The record of an attempt and its limits."""

from __future__ import annotations

import pytest

from asynqio.core.attempts.make_record import with_record
from asynqio.core.attempts.record import (
    MAX_LINE,
    MAX_LINES,
    MAX_LOG,
    AttemptOutcome,
    AttemptRecord,
    Log,
    LogLine,
    decode_record,
    encode_record,
)
from asynqio.core.lifecycle import DONE, Aborted, Deferred, Failed, Outcome, Succeeded
from asynqio.core.task.message import TaskState
from asynqio.errors import HandlerNotFound, LeaseExpired, RetryIn, RevokeTask, SkipRetry, WorkerDied
from tests.builders import lease, settlement

NOW = 1_700_000_100.0
SO_FAR = AttemptRecord(worker="one", started_at=NOW - 5, progress=b"1", log=[LogLine(NOW - 1, "hi")])


@pytest.mark.parametrize(
    ("outcome", "how", "then"),
    [
        (Succeeded(b"1"), AttemptOutcome.SUCCEEDED, TaskState.COMPLETED),
        (Failed(ValueError("no")), AttemptOutcome.FAILED, TaskState.RETRY),
        (Failed(SkipRetry("no")), AttemptOutcome.FAILED, TaskState.ARCHIVED),
        (Failed(WorkerDied("killed")), AttemptOutcome.FAILED, TaskState.RETRY),
        (Failed(LeaseExpired()), AttemptOutcome.LOST, TaskState.PENDING),
        (Failed(RetryIn(5)), AttemptOutcome.DEFERRED, TaskState.RETRY),
        (Aborted(), AttemptOutcome.ABORTED, TaskState.PENDING),
    ],
)
def test_the_record_has_the_outcome_of_the_attempt(
    outcome: Outcome, how: AttemptOutcome, then: TaskState
) -> None:
    end = settlement(lease("a", retention=60.0), outcome, NOW)
    record = with_record(end, outcome, SO_FAR, NOW, "trace").record
    assert record is not None
    assert (record.outcome, record.then, record.ended_at, record.duration) == (how, then, NOW, 5.0)
    assert (record.worker, record.progress, record.log) == (SO_FAR.worker, SO_FAR.progress, SO_FAR.log)
    assert bool(record.error) == isinstance(outcome, Failed)
    assert decode_record(encode_record(record), 7).number == 7


@pytest.mark.parametrize(
    "outcome", [DONE, Failed(RevokeTask()), Deferred(1), Failed(HandlerNotFound("email:send"))]
)
def test_a_deleted_task_or_an_attempt_that_never_ran_leaves_no_record(outcome: Outcome) -> None:
    end = settlement(lease("a"), outcome, NOW)
    assert with_record(end, outcome, SO_FAR, NOW) is end


def test_a_log_keeps_the_last_lines_and_counts_dropped_ones() -> None:
    log = Log()
    for number in range(MAX_LINES + 3):
        log.add(LogLine(0.0, str(number)))
    assert (len(log.lines()), log.dropped) == (MAX_LINES, 3)
    assert log.lines()[0].text == "3"
    for _ in range(20):
        log.add(LogLine(0.0, "é" * 3_000))
    assert sum(len(line.text.encode()) for line in log.lines()) <= MAX_LOG
    assert {len(line.text) for line in log.lines()} == {MAX_LINE}
    assert len(log.lines()) + log.dropped == MAX_LINES + 3 + 20


def test_text_that_is_not_unicode_can_be_stored() -> None:
    log = Log()
    log.add(LogLine(0.0, "a\ud800b", "\ud800" * 50))
    log.add(LogLine(0.0, "numbered", 30))  # type: ignore[arg-type]
    outcome = Failed(ValueError("\ud800"))
    live = AttemptRecord(log=log.lines())
    record = with_record(settlement(lease("a"), outcome, NOW), outcome, live, NOW, "\ud800 " * 200).record
    assert record is not None
    assert decode_record(encode_record(record)) == record
    assert (record.error, record.traceback) == ("ValueError: ?", "? " * 200)
    assert [(line.text, line.level) for line in record.log] == [("a?b", "?" * 20), ("numbered", "30")]
