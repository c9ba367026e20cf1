"""Passwords: Argon2id in own threads, remembered safely."""

from __future__ import annotations

import asyncio
import logging

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from asynqio.errors import TooManyAttempts
from asynqio.gateway.principals import passwords as module
from asynqio.gateway.principals.passwords import (
    LANES,
    MAX_PASSWORD,
    MEMORY_KIB,
    PASSES,
    Passwords,
    hash_problem,
    password_problem,
)
from tests.gateway.principals.helpers import CountingHasher


@pytest.mark.requirement("SEC-GW-4")
async def test_a_stored_password_is_argon2id_with_at_least_19_mib_and_2_passes(passwords: Passwords) -> None:
    found = extract_parameters(await passwords.hash("s3cret"))
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19_456, 2, 1)
    assert await passwords.hash("s3cret") != await passwords.hash("s3cret"), "salted"
    assert extract_parameters(await Passwords().hash("s3cret")) == found


async def test_the_right_password_is_found_among_several(passwords: Passwords) -> None:
    stored = [await passwords.hash("new"), await passwords.hash("old")]
    assert await passwords.verify(stored, "new") == 0
    assert await passwords.verify(stored, "old") == 1
    assert await passwords.verify(stored, "other") is None
    assert await passwords.verify([], "new") is None


async def test_ten_thousand_verifications_of_one_password_cost_one_hash(
    passwords: Passwords, hasher: CountingHasher
) -> None:
    stored = await passwords.hash("s3cret")
    assert not passwords.is_verified(stored, "s3cret")
    assert await passwords.verify([stored], "s3cret") == 0
    for _ in range(10_000):
        assert passwords.is_verified(stored, "s3cret")
    assert hasher.runs == 1
    # But for another password, or another hash of the same password, nothing is known
    assert not passwords.is_verified(stored, "s3cret ")
    assert not passwords.is_verified(await passwords.hash("s3cret"), "s3cret")


async def test_a_wrong_password_is_not_remembered(passwords: Passwords, hasher: CountingHasher) -> None:
    stored = await passwords.hash("s3cret")
    for _ in range(3):
        assert await passwords.verify([stored], "wrong") is None
        assert not passwords.is_verified(stored, "wrong")
    assert hasher.runs == 3


async def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_VERIFIED", 2)
    stored = {word: await passwords.hash(word) for word in ("a", "b", "c")}
    for word in ("a", "b"):
        await passwords.verify([stored[word]], word)
    assert passwords.is_verified(stored["a"], "a")
    await passwords.verify([stored["c"]], "c")
    assert [passwords.is_verified(stored[word], word) for word in "abc"] == [True, False, True]


@pytest.mark.requirement("SEC-GW-9")
@pytest.mark.parametrize("runs", [1, 2])
async def test_a_wrong_password_costs_the_same_whatever_the_account_has(
    passwords: Passwords, hasher: CountingHasher, runs: int
) -> None:
    stored = [await passwords.hash("new"), await passwords.hash("old")]
    counts = []
    for hashes in (stored[:runs], stored[:1], []):
        before = hasher.runs
        assert await passwords.verify(hashes, "wrong", runs=runs) is None
        counts.append(hasher.runs - before)
    assert counts == [runs] * 3


async def test_the_dummy_costs_what_a_real_hash_costs() -> None:
    costly = CountingHasher(memory_cost=MEMORY_KIB + 1024)
    passwords = Passwords(hasher=costly)
    dummy = extract_parameters(passwords._dummy)
    assert dummy == extract_parameters(await passwords.hash("s3cret"))
    await passwords.aclose()


@pytest.mark.requirement("SEC-GW-4")
async def test_weaker_hashes_are_to_be_made_again(passwords: Passwords) -> None:
    def weak(time_cost: int = PASSES, memory_cost: int = MEMORY_KIB) -> str:
        return PasswordHasher(time_cost=time_cost, memory_cost=memory_cost, parallelism=LANES).hash("s3cret")

    assert not passwords.needs_rehash(await passwords.hash("s3cret"))
    assert passwords.needs_rehash(await asyncio.to_thread(weak, memory_cost=8_192))
    assert passwords.needs_rehash(await asyncio.to_thread(weak, time_cost=1))
    assert not passwords.needs_rehash(await asyncio.to_thread(weak, memory_cost=2 * MEMORY_KIB))


async def test_too_many_at_a_time_are_refused_and_owners_have_places_of_their_own(
    hasher: CountingHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESERVED", 1)
    passwords = Passwords(hasher=hasher, threads=1, max_waiting=2)
    stored = await passwords.hash("s3cret")
    running = [asyncio.create_task(passwords.verify([stored], f"wrong {number}")) for number in range(5)]
    await asyncio.sleep(0)  # they start
    owner = asyncio.create_task(passwords.verify([stored], "s3cret", reserved=True))
    answers = await asyncio.gather(*running, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None)] * 3 + [TooManyAttempts] * 2
    assert await owner == 0
    assert await passwords.verify([stored], "s3cret") == 0, "there is room again"
    await passwords.aclose()


async def test_a_damaged_hash_matches_nothing_and_is_logged_without_it(
    passwords: Passwords, logged: pytest.LogCaptureFixture
) -> None:
    assert await passwords.verify(["$argon2id$canary"], "s3cret") is None
    assert await passwords.verify([await passwords.hash("x")], "\ud800") is None
    events = [record.__dict__["event"] for record in logged.records if "event" in record.__dict__]
    assert events == ["password_not_verified"] * 2
    assert "canary" not in logged.text
    assert "s3cret" not in logged.text


async def test_a_cancelled_caller_leaves_the_threads_in_order(passwords: Passwords) -> None:
    stored = await passwords.hash("s3cret")
    task = asyncio.create_task(passwords.verify([stored], "s3cret"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await passwords.verify([stored], "s3cret") == 0


async def test_closing_waits_for_what_is_running() -> None:
    passwords = Passwords()
    running = [asyncio.create_task(passwords.hash("s3cret")) for _ in range(3)]
    await asyncio.sleep(0)
    await passwords.aclose()
    assert all(stored.startswith("$argon2id$") for stored in await asyncio.gather(*running))


@pytest.mark.parametrize("password", ["", "x" * (MAX_PASSWORD + 1), "\ud800"])
def test_what_cannot_be_a_password(password: str) -> None:
    assert password_problem(password)


@pytest.mark.parametrize(
    "stored", ["", "s3cret", "$2b$12$abc", "$argon2i$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "$argon2id$"]
)
def test_what_is_no_hash(stored: str, caplog: pytest.LogCaptureFixture) -> None:
    assert hash_problem(stored)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_is_a_password_and_what_is_a_hash() -> None:
    assert not password_problem("pässword: with all: kinds\tof things")
    assert not hash_problem(CountingHasher(memory_cost=64).hash("x"))
