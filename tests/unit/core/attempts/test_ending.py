"""Each attempt has exactly one ending, according to `decide`."""

from __future__ import annotations

import pytest

from asynqio import BadPayload, HandlerNotFound, RetryIn, RevokeTask, SkipRetry, UnknownTask
from asynqio.core.attempts.ending import Ending, ending_of
from asynqio.core.lifecycle import DONE, Aborted, Deferred, Failed, Outcome, Policy, Succeeded, decide
from asynqio.errors import LeaseExpired
from tests.builders import lease

ENDINGS: list[tuple[Outcome, Ending]] = [
    (DONE, Ending.SUCCEEDED),
    (Succeeded(b"kept"), Ending.SUCCEEDED),
    (Aborted(), Ending.ABORTED),
    (Deferred(1.0), Ending.DEFERRED),
    (Failed(ValueError("no")), Ending.RETRIED),
    (Failed(LeaseExpired()), Ending.RETRIED),
    (Failed(SkipRetry("no")), Ending.ARCHIVED),
    (Failed(BadPayload("t", "no")), Ending.ARCHIVED),
    (Failed(RevokeTask("no")), Ending.REVOKED),
    (Failed(RetryIn(5)), Ending.DEFERRED),
    (Failed(HandlerNotFound("t")), Ending.DEFERRED),
]


@pytest.mark.parametrize(("outcome", "ending"), ENDINGS)
@pytest.mark.parametrize("retention", [0.0, 60.0])
def test_each_outcome_has_its_ending(outcome: Outcome, ending: Ending, retention: float) -> None:
    held = lease("a", retention=retention)
    assert ending_of(outcome, decide(held, outcome, 1_000.0, Policy())) is ending


def test_the_policy_affects_the_ending() -> None:
    held = lease("a")
    for policy, error, ending in (
        (Policy(unknown=UnknownTask.FAIL), HandlerNotFound("t"), Ending.RETRIED),
        (Policy(unknown=UnknownTask.ARCHIVE), HandlerNotFound("t"), Ending.ARCHIVED),
        (Policy(is_failure=lambda error: False), ValueError("soft"), Ending.DEFERRED),
    ):
        outcome = Failed(error)
        assert ending_of(outcome, decide(held, outcome, 1_000.0, policy)) is ending


def test_a_failure_without_remaining_retries_ends_as_archived() -> None:
    held, outcome = lease("a", max_retry=2, retried=2), Failed(ValueError("no"))
    assert ending_of(outcome, decide(held, outcome, 1_000.0, Policy())) is Ending.ARCHIVED
