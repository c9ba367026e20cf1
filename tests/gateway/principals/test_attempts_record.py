"""Failed attempts survive a restart of the gateway, and other gateways learn of them."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.errors import AuthenticationFailed, BrokerUnavailable, TooManyAttempts
from asynqio.gateway.principals import attempts_record
from asynqio.gateway.principals.attempts import Attempts
from asynqio.gateway.principals.attempts_record import COLLECTION, DOCUMENT, INTERVAL, AttemptsRecord
from asynqio.gateway.principals.authenticate import Authenticator, AuthSettings
from asynqio.gateway.principals.credentials import Basic
from asynqio.testing import FakeClock, Flaky
from tests.gateway.principals.helpers import basic, dump

HOME, AWAY = "203.0.113.9", "198.51.100.7"
SETTINGS = AuthSettings(user=Basic("ann", "of-ann"))


async def answer(
    authenticator: Authenticator, username: str, password: str, address: str
) -> Exception | None:
    try:
        await authenticator.authenticate(basic(username, password), address)
    except AuthenticationFailed as error:
        return error
    return None


@pytest.mark.requirement("SEC-GW-9")
async def test_a_restart_forgets_neither_failures_nor_the_addresses_of_owners(
    store: Store, clock: FakeClock
) -> None:
    gateway = await Authenticator.open(store, SETTINGS)
    assert await answer(gateway, "ann", "of-ann", HOME) is None
    for number in range(5):
        await answer(gateway, "ann", f"guess {number}", AWAY)
    await gateway.aclose()
    clock.advance(2)
    again = await Authenticator.open(store, SETTINGS)
    refused = await answer(again, "ann", "of-ann", AWAY)
    assert isinstance(refused, TooManyAttempts)
    assert refused.retry_after == pytest.approx(3.0)
    assert await answer(again, "ann", "of-ann", HOME) is None
    await again.aclose()


@pytest.mark.requirement("SEC-GW-9")
async def test_the_names_of_accounts_that_do_not_exist_are_not_stored(store: Store) -> None:
    gateway = await Authenticator.open(store, SETTINGS)
    for number in range(5):
        await answer(gateway, "canary", f"guess {number}", AWAY)
        await answer(gateway, "ann", f"guess {number}", "192.0.2.1")
    await gateway.aclose()
    text = await dump(store, COLLECTION)
    assert "canary" not in text
    assert "guess" not in text
    assert AWAY in text
    assert '"ann"' in text


async def test_gateways_learn_of_each_others_failures(store: Store, clock: FakeClock) -> None:
    one, other = Attempts(store.clock), Attempts(store.clock)
    of_one, of_other = AttemptsRecord(store, one), AttemptsRecord(store, other)
    for number in range(7):
        clock.advance(20)
        one.begin("ann", f"198.51.100.{number}")
    other.begin("bob", HOME)
    await of_one.write(lambda name: True)
    await of_other.write(lambda name: True)
    with pytest.raises(TooManyAttempts) as error:
        other.check("ann", AWAY)
    assert error.value.retry_after == pytest.approx(20.0)
    other.check("bob", AWAY)


async def test_nothing_is_written_without_a_change_and_at_most_once_in_a_while(
    store: Store, clock: FakeClock
) -> None:
    flaky = Flaky(store)
    attempts = Attempts(store.clock)
    record = AttemptsRecord(flaky.broker, attempts)
    await record.write(lambda name: True)
    assert not flaky.calls.get("put_document")
    for _ in range(10):
        attempts.succeeded("ann", HOME)
        await record.write(lambda name: True)
    assert flaky.calls["put_document"] == 1
    attempts.succeeded("ann", AWAY)
    await record.write(lambda name: True)
    assert flaky.calls["put_document"] == 1
    clock.advance(INTERVAL)
    flaky.fail(1, "put_document")
    with pytest.raises(BrokerUnavailable):
        await record.write(lambda name: True)
    await record.write(lambda name: True, now=True)
    fresh = Attempts(store.clock)
    await AttemptsRecord(store, fresh).load()
    assert fresh.owners == attempts.owners
    assert len(fresh.owners) == 2


async def test_what_is_stored_is_bounded_and_what_is_damaged_replaced(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts_record, "MAX_STORED", 2)
    await store.put_document(COLLECTION, DOCUMENT, b"damaged")
    attempts = Attempts(store.clock)
    record = AttemptsRecord(store, attempts)
    await record.load()
    for account in ("ann", "bob", "cleo"):
        clock.advance(1)
        for number in range(5):
            attempts.begin(account, f"{account} {number}")
        attempts.succeeded(account, HOME)
    await record.write(lambda name: True)
    fresh = Attempts(store.clock)
    await AttemptsRecord(store, fresh).load()
    assert set(fresh.throttles["accounts"].delays(clock.monotonic())) == {"bob", "cleo"}
    assert fresh.owners == [f"{HOME} bob", f"{HOME} cleo"]
