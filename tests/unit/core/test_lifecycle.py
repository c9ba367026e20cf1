"""`decide`: the next state of a task when an attempt ends; it makes only legal transitions."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynqio.core.lifecycle import (
    MAX_ERROR_TEXT,
    MOVES,
    Aborted,
    Action,
    Failed,
    Lease,
    Outcome,
    Policy,
    Settlement,
    Succeeded,
    UnknownTask,
    decide,
    error_text,
)
from asynqio.core.retry import (
    MAX_DELAY,
    ExponentialRetry,
    FixedRetry,
    GoRetry,
    RetryByException,
    RetryFunction,
    RetryPolicy,
    as_policy,
)
from asynqio.core.task.message import TaskState
from asynqio.core.task.unique import UniqueUntil
from asynqio.core.task.unique_locks import freed_by
from asynqio.errors import (
    BadPayload,
    DeadlineExceeded,
    ExecutionError,
    HandlerNotFound,
    LeaseExpired,
    RetryIn,
    RevokeTask,
    SkipRetry,
    TaskCancelled,
    TaskTimeout,
    WorkerDied,
)
from tests.builders import POLICY, lease

S = TaskState
NOW = 1_700_000_100.0


def fail(held: Lease, error: BaseException, policy: Policy = POLICY) -> Settlement:
    return decide(held, Failed(error), NOW, policy)


# --- success ------------------------------------------------------------------------------------------


def test_success_without_retention_ends_the_task() -> None:
    held = lease("a")
    assert decide(held, Succeeded(b"lost"), NOW, POLICY) == Settlement(
        held, None, held.message, processed=True
    )


def test_success_with_retention_keeps_task_and_result() -> None:
    held = lease("a", retention=60.0, crashes=2, deferrals=3)
    end = decide(held, Succeeded(b"42"), NOW, POLICY)
    assert (end.to, end.at, end.result) == (S.COMPLETED, NOW + 60, b"42")
    assert (end.processed, end.failed) == (True, False)
    assert end.message == msgspec.structs.replace(held.message, completed_at=NOW, crashes=0, deferrals=0)


def test_an_aborted_attempt_does_not_count() -> None:
    held = lease("a", retried=2, crashes=1, last_error="before")
    assert decide(held, Aborted(), NOW, POLICY) == Settlement(held, S.PENDING, held.message)


# --- failure ------------------------------------------------------------------------------------------


def test_a_failure_is_retried_after_the_policys_delay() -> None:
    held = lease("a", retried=1, crashes=1, deferrals=4)
    end = fail(held, ValueError("no"))
    assert (end.to, end.at, end.processed, end.failed) == (S.RETRY, NOW + 60, True, True)
    assert end.message == msgspec.structs.replace(
        held.message, retried=2, last_error="ValueError: no", last_failed_at=NOW, crashes=0, deferrals=0
    )


def test_the_policy_receives_retries_error_message_and_chance() -> None:
    asked: list[Any] = []

    def delay(retried: int, error: BaseException, message: Any) -> float:
        asked.append((retried, error, message))
        return 7.0

    held, error = lease("a", retried=3), ValueError("no")
    assert fail(held, error, Policy(retry=RetryFunction(delay))).at == NOW + 7
    assert asked == [(3, error, held.message)]


@pytest.mark.parametrize("delay", [-5.0, -0.001, math.inf, -math.inf, math.nan, timedelta(-1), "nan", None])
def test_an_invalid_delay_is_refused(delay: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        fail(lease(), ValueError(), Policy(retry=RetryFunction(lambda *_: delay)))


def test_delays_are_bounded() -> None:
    assert fail(lease(), ValueError(), Policy(retry=RetryFunction(lambda *_: 1e300))).at == NOW + MAX_DELAY
    for counted in (True, False):
        assert fail(lease(), RetryIn(1e300, counted=counted)).at == NOW + MAX_DELAY


# --- deadlines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [UniqueUntil.FINISHED, UniqueUntil.ENDED, UniqueUntil.STARTED])
def test_a_passed_deadline_archives_and_frees_the_lock(until: UniqueUntil) -> None:
    held = lease("a", deadline=NOW - 1, unique_key="key", unique_until=until)
    ended = fail(held, DeadlineExceeded(0.0))
    assert (ended.to, ended.at, ended.processed, ended.failed) == (S.ARCHIVED, NOW, True, True)
    assert ended.message.last_error == "deadline exceeded: not started, its deadline has passed"
    assert until is UniqueUntil.STARTED or freed_by(ended.message, S.ARCHIVED)


@pytest.mark.parametrize(("deadline", "state"), [(NOW + 60, S.ARCHIVED), (NOW + 61, S.RETRY), (0.0, S.RETRY)])
def test_a_failure_is_not_retried_past_the_deadline(deadline: float, state: TaskState) -> None:
    ended = fail(lease("a", deadline=deadline, unique_key="key"), ValueError("no"))
    assert ended.to is state
    assert ended.message.last_error.startswith("ValueError: no")
    assert ("deadline" in ended.message.last_error) is (state is S.ARCHIVED)
    assert freed_by(ended.message, ended.to) is (state is S.ARCHIVED)


@pytest.mark.parametrize(("retried", "max_retry"), [(0, 0), (3, 3), (9, 3)])
def test_a_failure_with_no_retries_left_is_archived(retried: int, max_retry: int) -> None:
    end = fail(lease(retried=retried, max_retry=max_retry), ValueError("no"))
    assert (end.to, end.at, end.processed, end.failed) == (S.ARCHIVED, NOW, True, True)
    assert end.message.retried == retried
    assert end.message.last_error == "ValueError: no"


def test_skip_retry_archives_despite_remaining_retries() -> None:
    end = fail(lease(), SkipRetry("hopeless"))
    assert (end.to, end.processed, end.failed) == (S.ARCHIVED, True, True)
    assert end.message.last_error == "hopeless"


def test_a_bad_payload_is_archived() -> None:
    assert fail(lease(), BadPayload("email:send", "to is missing")).to is S.ARCHIVED


def test_revoke_deletes_the_task_and_counts_it_as_processed() -> None:
    held = lease("a", retention=60.0)
    assert fail(held, RevokeTask("never mind")) == Settlement(held, None, held.message, processed=True)


def test_retry_in_defers_the_task_uncounted_even_without_remaining_retries() -> None:
    end = fail(lease(retried=3, max_retry=3, deferrals=2), RetryIn(90))
    assert (end.to, end.at, end.processed, end.failed) == (S.RETRY, NOW + 90, False, False)
    assert (end.message.retried, end.message.deferrals) == (3, 3)


@pytest.mark.parametrize(
    ("directive", "to"), [(SkipRetry(), S.ARCHIVED), (RevokeTask(), None), (RetryIn(1), S.RETRY)]
)
def test_a_directive_applies_also_as_the_cause_of_another_error(
    directive: Exception, to: TaskState | None
) -> None:
    outer = RuntimeError("outer")
    outer.__cause__ = ValueError("middle")
    outer.__cause__.__cause__ = directive
    assert fail(lease(), outer).to is to


def test_a_directive_that_is_only_the_context_does_not_apply() -> None:
    error = ValueError("while handling it")
    error.__context__ = SkipRetry()
    assert fail(lease(), error).to is S.RETRY


def test_a_cycle_of_causes_is_handled() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert fail(lease(), one).to is S.RETRY


# --- unknown types ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unknown", "to", "counted", "at"),
    [
        (UnknownTask.DEFER, S.RETRY, False, NOW + 30),
        (UnknownTask.FAIL, S.RETRY, True, NOW + 60),
        (UnknownTask.ARCHIVE, S.ARCHIVED, True, NOW),
    ],
)
def test_an_unknown_type_is_deferred_failed_or_archived(
    unknown: UnknownTask, to: TaskState, counted: bool, at: float
) -> None:
    end = fail(lease(), HandlerNotFound("x"), msgspec.structs.replace(POLICY, unknown=unknown))
    assert (end.to, end.at, end.processed, end.failed) == (to, at, counted, counted)
    assert end.message.retried == (1 if to is S.RETRY and counted else 0)


def test_an_unknown_type_is_deferred_even_without_retries() -> None:
    assert fail(lease(max_retry=0), HandlerNotFound("x")).to is S.RETRY


# --- not a failure ------------------------------------------------------------------------------------

PATIENT = Policy(retry=FixedRetry(60.0), is_failure=lambda error: False, max_deferrals=5)


def test_an_error_that_is_no_failure_is_deferred_uncounted() -> None:
    end = fail(lease(deferrals=4), ValueError("busy"), PATIENT)
    assert (end.to, end.at, end.processed, end.failed) == (S.RETRY, NOW + 60, False, False)
    assert (end.message.retried, end.message.deferrals) == (0, 5)


def test_too_many_uncounted_errors_archive_the_task() -> None:
    end = fail(lease(deferrals=5), ValueError("busy"), PATIENT)
    assert (end.to, end.processed, end.failed) == (S.ARCHIVED, True, True)


def test_an_uncounted_error_without_remaining_retries_archives_the_task() -> None:
    assert fail(lease(max_retry=0), ValueError("busy"), PATIENT).to is S.ARCHIVED


# --- crashes ------------------------------------------------------------------------------------------


def test_an_expired_lease_makes_the_task_pending_at_once_and_counts() -> None:
    end = fail(lease(), LeaseExpired())
    assert (end.to, end.processed, end.failed) == (S.PENDING, True, True)
    assert (end.message.retried, end.message.crashes) == (1, 1)


def test_a_worker_that_died_is_a_crash_and_an_ordinary_retry() -> None:
    end = fail(lease(crashes=1), WorkerDied("signal 9"))
    assert (end.to, end.at, end.message.crashes) == (S.RETRY, NOW + 60, 2)


@pytest.mark.parametrize("error", [LeaseExpired(), WorkerDied("signal 9")])
def test_repeated_worker_deaths_archive_the_task_as_poison(error: Exception) -> None:
    end = fail(lease(crashes=2), error)
    assert (end.to, end.message.crashes) == (S.ARCHIVED, 3)
    assert end.message.last_error.startswith("crash loop: 3 workers in a row died")
    assert str(error) in end.message.last_error


def test_an_expired_lease_without_remaining_retries_archives_the_task() -> None:
    assert fail(lease(retried=3, max_retry=3), LeaseExpired()).to is S.ARCHIVED


def test_a_failure_between_two_crashes_resets_their_count() -> None:
    assert fail(lease(crashes=2), TaskTimeout(5)).message.crashes == 0


def test_with_no_crash_allowed_an_ordinary_failure_is_still_retried() -> None:
    policy = msgspec.structs.replace(POLICY, max_crashes=0)
    assert fail(lease(), ValueError("no"), policy).to is S.RETRY
    assert fail(lease(), LeaseExpired(), policy).to is S.ARCHIVED


@pytest.mark.parametrize(
    ("retry", "to", "at"),
    [
        (GoRetry(), S.PENDING, NOW),
        (FixedRetry(60), S.PENDING, NOW),
        (ExponentialRetry(60), S.PENDING, NOW),
        (RetryByException({ValueError: FixedRetry(60)}, FixedRetry(50)), S.PENDING, NOW),
        (RetryByException({LeaseExpired: FixedRetry(60)}), S.RETRY, NOW + 60),
        (RetryByException({ExecutionError: FixedRetry(60)}), S.RETRY, NOW + 60),
        (RetryByException({LeaseExpired: FixedRetry(0)}), S.PENDING, NOW),
        (
            as_policy(lambda retried, error, message: 7 if isinstance(error, LeaseExpired) else 1),
            S.RETRY,
            NOW + 7,
        ),
        (as_policy(lambda retried, error, message: 0), S.PENDING, NOW),
    ],
)
def test_only_code_of_the_application_delays_a_task_whose_server_died(
    retry: RetryPolicy, to: TaskState, at: float
) -> None:
    end = fail(lease(), LeaseExpired(), msgspec.structs.replace(POLICY, retry=retry))
    assert (end.to, end.at, end.failed, end.message.retried, end.message.crashes) == (to, at, True, 1, 1)


def test_is_failure_decides_whether_the_death_of_a_server_counts() -> None:
    policy = msgspec.structs.replace(POLICY, is_failure=lambda error: not isinstance(error, LeaseExpired))
    end = fail(lease(crashes=1), LeaseExpired(), policy)
    assert (end.to, end.processed, end.failed) == (S.PENDING, False, False)
    assert (end.message.retried, end.message.crashes, end.message.deferrals) == (0, 2, 1)
    # A crash loop ends all the same.
    assert fail(lease(crashes=2), LeaseExpired(), policy).to is S.ARCHIVED


# --- properties ---------------------------------------------------------------------------------------

errors: st.SearchStrategy[BaseException] = st.one_of(
    st.sampled_from([ValueError("x"), LeaseExpired(), WorkerDied("x"), HandlerNotFound("x"), SkipRetry()]),
    st.sampled_from([RevokeTask(), BadPayload("x", "y"), TaskTimeout(3), KeyboardInterrupt()]),
    st.floats(0, 1e9).map(RetryIn),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Aborted()), st.builds(Succeeded, st.none() | st.binary()), errors.map(Failed)
)
leases = st.builds(
    lease,
    retried=st.integers(0, 5),
    max_retry=st.integers(0, 5),
    crashes=st.integers(0, 4),
    deferrals=st.integers(0, 6),
    retention=st.sampled_from([0.0, 60.0]),
)
policies = st.builds(
    Policy,
    retry=st.floats(0, 1e6).map(FixedRetry),
    is_failure=st.sampled_from([lambda error: True, lambda error: False]),
    unknown=st.sampled_from(UnknownTask),
    max_crashes=st.integers(0, 4),
    max_deferrals=st.integers(0, 6),
)


@given(leases, outcomes, policies, st.floats(0, 1))
def test_decide_always_makes_a_legal_transition(
    held: Lease, outcome: Outcome, policy: Policy, chance: float
) -> None:
    end = decide(held, outcome, NOW, policy, chance)
    legal = {move.target for move in MOVES if move.origin is S.ACTIVE and move.cause == "settle"}
    assert end.to in legal
    assert end.lease is held
    assert end.message.ref == held.message.ref
    assert end.processed or not end.failed
    assert end.at >= NOW or end.to in (None, S.PENDING)
    assert end.message.retried - held.message.retried in (0, 1)
    assert end.message.retried == held.message.retried or end.failed


def test_each_transition_is_listed_once() -> None:
    assert len(set(MOVES)) == len(MOVES)
    assert all(move.origin is not move.target for move in MOVES)
    assert {move.cause for move in MOVES if move.origin is None} == {"enqueue"}
    assert {move.cause for move in MOVES if move.origin is S.ACTIVE} == {"settle"}
    assert {move.cause for move in MOVES if move.target is S.ACTIVE} == {"dequeue"}


def test_no_action_applies_to_an_active_task() -> None:
    for action in Action:
        assert S.ACTIVE not in action.origins
        assert action.target not in action.origins
        assert {move.target for move in MOVES if move.cause == action.value} == {action.target}


# --- error texts --------------------------------------------------------------------------------------


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NotText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
        (LeaseExpired(), "task lease expired: the server that ran it is gone"),
        (SkipRetry(), "SkipRetry"),
        (Broken(), "Broken: (str() of the error raised RuntimeError)"),
        (NotText(), "NotText: (str() of the error raised TypeError)"),
        (ValueError("half \ud800 pair"), "ValueError: half ? pair"),
        (ValueError("漢 ü 🎉"), "ValueError: 漢 ü 🎉"),
        (ExceptionGroup("two", [ValueError("1")]), "ExceptionGroup: two (1 sub-exception)"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_an_error_is_stored_as_class_and_text(error: BaseException, text: str) -> None:
    assert error_text(error) == text


def test_a_long_error_text_is_cut_and_marked() -> None:
    text = error_text(ValueError("x" * 10_000))
    assert len(text) == MAX_ERROR_TEXT
    assert text.endswith("x…")
    assert len(error_text(ValueError("x" * (MAX_ERROR_TEXT - len("ValueError: "))))) == MAX_ERROR_TEXT


@given(st.text(st.characters()))
def test_an_error_text_can_always_be_stored(text: str) -> None:
    assert error_text(ValueError(text)).encode()


def test_a_crash_loop_text_is_cut_too() -> None:
    end = fail(lease(crashes=2), WorkerDied("x" * 10_000))
    assert len(end.message.last_error) <= MAX_ERROR_TEXT


def test_a_finally_cancelled_task_is_archived_unless_revoked() -> None:
    for cause, to in ((None, TaskState.ARCHIVED), (RetryIn(5), TaskState.ARCHIVED), (RevokeTask(), None)):
        error = TaskCancelled(archive=True)
        error.__cause__ = cause
        end = decide(lease(max_retry=9), Failed(error), NOW, Policy())
        assert (end.to, end.processed) == (to, True)
    assert decide(lease(max_retry=9), Failed(TaskCancelled()), NOW, Policy()).to is TaskState.RETRY
