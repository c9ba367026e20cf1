"""Brute force: attackers wait, owners do not."""

from __future__ import annotations

import pytest

from asynqio.errors import TooManyAttempts
from asynqio.gateway.principals import attempts as module
from asynqio.gateway.principals.attempts import Attempts, network_of
from asynqio.testing import FakeClock

HOME, AWAY = "203.0.113.9", "198.51.100.7"


@pytest.fixture
def attempts(clock: FakeClock) -> Attempts:
    return Attempts(clock)


def fail(attempts: Attempts, times: int, account: str = "ann", address: str = AWAY) -> None:
    for _ in range(times):
        attempts.begin(account, address)


def wait(attempts: Attempts, account: str = "ann", address: str = AWAY) -> float:
    """Seconds until the next attempt is allowed."""
    try:
        attempts.check(account, address)
    except TooManyAttempts as error:
        return error.retry_after
    return 0.0


@pytest.mark.requirement("SEC-GW-9")
def test_the_sixth_attempt_must_wait_and_each_further_one_longer(
    attempts: Attempts, clock: FakeClock
) -> None:
    fail(attempts, 5)
    with pytest.raises(TooManyAttempts) as error:
        attempts.begin("ann", AWAY)
    assert error.value.retry_after == 5.0
    delays = []
    for _ in range(8):
        delays.append(wait(attempts))
        clock.advance(delays[-1])
        fail(attempts, 1)
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300]


@pytest.mark.requirement("SEC-GW-9")
def test_an_account_is_guarded_against_many_addresses_and_an_address_against_many_accounts(
    attempts: Attempts,
) -> None:
    for number in range(5):
        fail(attempts, 1, "ann", f"198.51.100.{number}")
    assert wait(attempts, "ann", "198.51.100.99") > 0
    assert wait(attempts, "bob", "198.51.100.99") == 0
    for number in range(5):
        fail(attempts, 1, f"user {number}", HOME)
    assert wait(attempts, "another", HOME) > 0
    assert wait(attempts, "another", AWAY) == 0


@pytest.mark.requirement("SEC-GW-9")
def test_others_cannot_lock_out_the_owner(attempts: Attempts) -> None:
    attempts.succeeded("ann", HOME)
    for number in range(200):
        if not wait(attempts, "ann", f"198.51.{number}.1"):
            fail(attempts, 1, "ann", f"198.51.{number}.1")
    assert wait(attempts, "ann", AWAY) > 0
    fail(attempts, 5, "bob", HOME)
    assert wait(attempts, "bob", HOME) > 0
    assert wait(attempts, "ann", HOME) == 0


def test_guesses_at_an_owners_address_wait_but_never_long(attempts: Attempts, clock: FakeClock) -> None:
    attempts.succeeded("ann", HOME)
    fail(attempts, 5, "ann", HOME)
    longest = 0.0
    for _ in range(10):
        delay = wait(attempts, "ann", HOME)
        longest = max(longest, delay)
        clock.advance(delay)
        attempts.succeeded("ann", HOME)  # the owner is active
        fail(attempts, 1, "ann", HOME)
    assert longest == 30.0
    assert wait(attempts, "ann", AWAY) == 0, "these failures concern only this address"


def test_an_attacker_with_an_own_account_gains_nothing(attempts: Attempts) -> None:
    for _ in range(5):
        fail(attempts, 1, "ann", AWAY)
        counted = attempts.check("mallory", AWAY)
        assert counted
        attempts.succeeded("mallory", AWAY)
    assert wait(attempts, "ann", AWAY) == 5.0


def test_attempts_at_the_same_time_count_from_their_start(attempts: Attempts) -> None:
    started = [attempts.begin("ann", HOME) for _ in range(5)]
    assert wait(attempts, "ann", HOME) > 0
    started[0].take_back()
    assert wait(attempts, "ann", HOME) == 0


def test_invalid_tokens_slow_down_their_address_only_for_invalid_tokens(
    attempts: Attempts, clock: FakeClock
) -> None:
    for _ in range(5):
        attempts.token_failed(AWAY)
    with pytest.raises(TooManyAttempts) as error:
        attempts.token_failed(AWAY)
    assert error.value.retry_after == 5.0
    attempts.token_failed(HOME)
    assert wait(attempts, "ann", AWAY) == 0
    clock.advance(5)
    attempts.token_failed(AWAY)


def test_owners_are_bounded_and_the_active_ones_stay(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OWNERS", 2)
    for account in ("ann", "bob", "ann", "cleo"):
        attempts.succeeded(account, HOME)
    assert [attempts.is_owner(name, HOME) for name in ("ann", "bob", "cleo")] == [True, False, True]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
