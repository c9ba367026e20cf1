"""Guessing passwords: slow for attackers, unnoticed by owners, and the same for accounts that do not exist."""

from __future__ import annotations

import asyncio

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.roles import Role
from asynqio.errors import AuthenticationFailed, TooManyAttempts
from asynqio.gateway.principals.authenticate import Authenticator, AuthSettings
from asynqio.gateway.principals.credentials import Basic
from asynqio.gateway.principals.passwords import Passwords
from asynqio.gateway.principals.tenant_file import TenantEntry
from asynqio.testing import FakeClock
from tests.gateway.principals.helpers import CountingHasher, basic, bearer

HOME, AWAY = "203.0.113.9", "198.51.100.7"
SETTINGS = AuthSettings(
    tenants=[TenantEntry(id="one", username="ann", queue_prefix="p1", password="of-ann")],
    admin=Basic("root", "of-root"),
)


@pytest.fixture
def kind() -> str:
    """The store does not matter here."""
    return "memory"


@pytest.fixture
async def authenticator(store: Store, passwords: Passwords) -> Authenticator:
    return await Authenticator.open(store, SETTINGS, passwords=passwords)


async def answer(
    authenticator: Authenticator, username: str, password: str, address: str = AWAY
) -> Exception | None:
    try:
        await authenticator.authenticate(basic(username, password), address)
    except (AuthenticationFailed, TooManyAttempts) as error:
        return error
    return None


@pytest.mark.requirement("SEC-GW-9")
@pytest.mark.parametrize("username", ["ann", "root", "nobody", "x" * 1_000, ""])
async def test_the_sixth_attempt_is_told_when_to_retry_whether_the_account_exists_or_not(
    authenticator: Authenticator, clock: FakeClock, username: str
) -> None:
    texts = {str(await answer(authenticator, username, f"wrong {number}")) for number in range(5)}
    assert texts == {"the user name or the password is wrong"}
    sixth = await answer(authenticator, username, "of-ann")
    assert isinstance(sixth, TooManyAttempts)
    assert sixth.retry_after == 5.0
    clock.advance(5)
    assert type(await answer(authenticator, username, "wrong again")) is AuthenticationFailed
    again = await answer(authenticator, username, "wrong again")
    assert isinstance(again, TooManyAttempts)
    assert again.retry_after == 10.0


@pytest.mark.requirement("SEC-GW-9")
async def test_an_unknown_user_costs_as_many_hashes_as_a_known_one(
    authenticator: Authenticator, hasher: CountingHasher
) -> None:
    async def cost(username: str, address: str) -> int:
        before = hasher.runs
        assert await answer(authenticator, username, "wrong", address) is not None
        return hasher.runs - before

    names = ("ann", "root", "nobody")
    assert [await cost(name, "198.51.100.1") for name in names] == [1, 1, 1]
    # While one tenant has two passwords, everybody costs two
    assert authenticator.tenants is not None
    await authenticator.tenants.add("two", "bob", "old")
    await authenticator.tenants.set_password("bob", "new", overlap=60)
    assert [await cost(name, "198.51.100.2") for name in (*names, "bob")] == [2, 2, 2, 2]


async def test_ten_thousand_requests_of_one_user_cost_one_hash(
    authenticator: Authenticator, hasher: CountingHasher
) -> None:
    headers = basic("ann", "of-ann")
    principals = {id(await authenticator.authenticate(headers, HOME)) for _ in range(10_000)}
    assert principals
    assert hasher.runs == 1


async def test_many_connections_at_a_time_with_the_same_password_cost_one_hash_and_one_attempt(
    authenticator: Authenticator, hasher: CountingHasher
) -> None:
    answers = await asyncio.gather(*(answer(authenticator, "ann", "of-ann") for _ in range(200)))
    assert answers == [None] * 200
    assert hasher.runs == 1
    wrong = await asyncio.gather(*(answer(authenticator, "ann", "old", HOME) for _ in range(200)))
    assert {str(error) for error in wrong} == {"the user name or the password is wrong"}
    assert hasher.runs == 2, "a worker with an old password counts once per round"


@pytest.mark.requirement("SEC-GW-9")
async def test_guesses_at_the_same_time_do_not_get_around_the_limit(
    authenticator: Authenticator, hasher: CountingHasher
) -> None:
    answers = await asyncio.gather(
        *(answer(authenticator, "ann", f"guess {number}") for number in range(100))
    )
    kinds = [type(error) for error in answers]
    assert kinds.count(AuthenticationFailed) == 5
    assert kinds.count(TooManyAttempts) == 95
    assert hasher.runs == 5


@pytest.mark.requirement("SEC-GW-9")
async def test_failures_of_others_do_not_lock_out_the_owner(authenticator: Authenticator) -> None:
    assert await answer(authenticator, "ann", "of-ann", HOME) is None
    for number in range(20):
        await answer(authenticator, "ann", "guess", f"198.51.100.{number}")
    assert isinstance(await answer(authenticator, "ann", "of-ann", AWAY), TooManyAttempts)
    assert await answer(authenticator, "ann", "of-ann", HOME) is None


@pytest.mark.requirement("SEC-GW-9")
async def test_the_owner_is_not_locked_out_while_its_password_is_verified_again(
    authenticator: Authenticator, store: Store
) -> None:
    assert authenticator.tenants is not None
    await authenticator.tenants.add("two", "bob", "old")
    assert await answer(authenticator, "bob", "old", HOME) is None
    await authenticator.tenants.set_password("bob", "new")
    for number in range(20):
        await answer(authenticator, "bob", "guess", f"198.51.100.{number}")
    assert await answer(authenticator, "bob", "new", HOME) is None
    assert isinstance(await answer(authenticator, "bob", "old", HOME), AuthenticationFailed)


@pytest.mark.requirement("SEC-GW-9")
async def test_a_valid_token_is_never_delayed(authenticator: Authenticator) -> None:
    made = await authenticator.tokens.create("ci", owner="root", role=Role.PRODUCER)
    wrong = bearer(made.text[:-1] + ("0" if made.text[-1] != "0" else "1"))
    kinds = []
    for _ in range(7):
        with pytest.raises(AuthenticationFailed) as error:
            await authenticator.authenticate(wrong, AWAY)
        kinds.append(type(error.value))
    assert kinds == [AuthenticationFailed] * 5 + [TooManyAttempts] * 2
    await authenticator.authenticate(bearer(made.text), AWAY)


async def test_an_attempt_that_was_not_evaluated_is_not_counted(store: Store, hasher: CountingHasher) -> None:
    passwords = Passwords(hasher=hasher, threads=1, max_waiting=0)
    authenticator = await Authenticator.open(store, SETTINGS, passwords=passwords)
    for turn in range(3):
        answers = await asyncio.gather(
            *(answer(authenticator, f"user {turn} {number}", "x", f"192.0.2.{number}") for number in range(9))
        )
        kinds = [type(error) for error in answers]
        assert (kinds.count(AuthenticationFailed), kinds.count(TooManyAttempts)) == (1, 8)
    # None of those at a full queue counts: at the address of the last ones, five failures are still free
    for number in range(5):
        assert type(await answer(authenticator, "ann", f"{number}", "192.0.2.8")) is AuthenticationFailed
    await passwords.aclose()


async def test_a_cancelled_request_leaves_the_check_to_those_who_share_it(
    authenticator: Authenticator, hasher: CountingHasher
) -> None:
    first = asyncio.create_task(authenticator.authenticate(basic("ann", "of-ann"), HOME))
    other = asyncio.create_task(authenticator.authenticate(basic("ann", "of-ann"), HOME))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await other).tenant == "one"
    assert hasher.runs == 1


async def test_failures_are_logged_with_the_account_only_if_it_exists(
    authenticator: Authenticator, logged: pytest.LogCaptureFixture
) -> None:
    await answer(authenticator, "ann", "canary")
    await answer(authenticator, "canary", "x")
    with pytest.raises(AuthenticationFailed):
        await authenticator.authenticate(bearer("canary"), HOME)
    records = [
        record.__dict__
        for record in logged.records
        if record.__dict__.get("event") == "authentication_failed"
    ]
    assert [(one["method"], one["address"], one["account"]) for one in records] == [
        ("password", AWAY, "ann"),
        ("password", AWAY, ""),
        ("token", HOME, ""),
    ]
    assert "canary" not in logged.text
