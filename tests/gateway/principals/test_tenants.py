"""Tenants: of the file and of the store, seen by all gateways, never two with one prefix."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from argon2 import extract_parameters

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.errors import ConfigError, NotFound, WrongState
from asynqio.gateway.principals.passwords import Passwords
from asynqio.gateway.principals.principal import Limits
from asynqio.gateway.principals.tenant import Tenant, tenant_problems
from asynqio.gateway.principals.tenant_file import TenantEntry
from asynqio.gateway.principals.tenants import COLLECTION, Tenants
from asynqio.testing import FakeClock
from tests.gateway.principals.helpers import CountingHasher, dump

FILE = [TenantEntry(id="one", username="ann", queue_prefix="p1", password="of-ann")]


async def test_tenants_of_the_file_and_of_the_store_are_found(store: Store, passwords: Passwords) -> None:
    tenants = await Tenants.open(store, passwords, FILE)
    added = await tenants.add("two", "bob", "of-bob", limits=Limits(connections=5))
    assert [tenant.id for tenant in tenants.all()] == ["one", "two"]
    assert tenants.by_username("bob") == tenants.get("two") == added
    assert (added.queue_prefix, added.limits.connections) == ("two", 5)
    of_file = tenants.by_username("ann")
    assert of_file is not None
    assert await passwords.verify([of_file.password_hash], "of-ann") == 0
    assert tenants.by_username("nobody") is None
    assert tenants.get("nobody") is None


@pytest.mark.requirement("SEC-GW-14")
async def test_an_added_tenant_outlives_the_gateway_and_is_seen_by_others(
    store: Store, passwords: Passwords, url: str, clock: FakeClock
) -> None:
    other = await Tenants.open(store, passwords)
    tenants = await Tenants.open(store, passwords)
    added = await tenants.add("two", "bob", "of-bob", "p2")
    assert other.by_username("bob") is None
    await other.refresh()
    assert other.by_username("bob") == added
    assert other.take_changed() == {"two"}
    if not url.startswith("memory"):
        async with open_broker(url, clock=clock) as again:
            reopened = await Tenants.open(again, passwords)
            assert reopened.by_username("bob") == added
    removed = await other.remove("bob")
    assert removed == added
    await tenants.refresh()
    assert tenants.by_username("bob") is None
    assert "two" in tenants.take_changed()


@pytest.mark.requirement("SEC-GW-4")
async def test_a_dump_of_the_store_contains_no_password(store: Store, passwords: Passwords) -> None:
    tenants = await Tenants.open(store, passwords, FILE)
    added = await tenants.add("two", "bob", "canary-one")
    await tenants.set_password("bob", "canary-two", overlap=60)
    text = await dump(store, COLLECTION)
    assert "canary" not in text
    assert "ann" not in text, "tenants of the file are not copied"
    assert added.password_hash in text
    stored = msgspec.json.decode((await tenants_in(store))["two"], type=Tenant)
    for hash in (stored.password_hash, stored.old_password_hash):
        assert extract_parameters(hash).memory_cost == 19_456


async def tenants_in(store: Store) -> dict[str, bytes]:
    found = await store.collection(COLLECTION)
    assert found is not None
    return found.documents


@pytest.mark.requirement("SEC-GW-6")
@pytest.mark.parametrize(
    ("id", "username", "prefix", "problem"),
    [
        ("one", "new", "new", "a tenant with the id 'one' already exists"),
        ("new", "ann", "new", "a tenant with the username 'ann' already exists"),
        ("new", "new", "p1", "a tenant with the queue_prefix 'p1' already exists"),
        ("p1", "new", None, "a tenant with the queue_prefix 'p1' already exists"),
        ("two", "new", "new", "a tenant with the id 'two' already exists"),
        ("new", "bob", None, "a tenant with the username 'bob' already exists"),
        ("new", "new", "p2", "a tenant with the queue_prefix 'p2' already exists"),
        ("new", "root", None, "the username 'root' is reserved"),
    ],
)
async def test_nothing_of_another_tenant_is_given_again(
    store: Store, passwords: Passwords, id: str, username: str, prefix: str | None, problem: str
) -> None:
    tenants = await Tenants.open(store, passwords, FILE, reserved=["root"])
    await tenants.add("two", "bob", "of-bob", "p2")
    before = await tenants_in(store)
    with pytest.raises(WrongState, match=problem):
        await tenants.add(id, username, "x", prefix)
    assert await tenants_in(store) == before


async def test_an_invalid_tenant_is_refused_with_every_problem(store: Store, passwords: Passwords) -> None:
    tenants = await Tenants.open(store, passwords)
    with pytest.raises(ConfigError) as error:
        await tenants.add("", "a:b", "", "x:y")
    assert [text.split()[0] for text in error.value.problems] == [
        "id",
        "username",
        "password",
        "queue_prefix",
    ]
    assert tenants.all() == []


async def test_an_administrator_is_no_tenant_of_the_file(store: Store, passwords: Passwords) -> None:
    with pytest.raises(ConfigError, match="username 'ann' is that of the administrator"):
        await Tenants.open(store, passwords, FILE, reserved=["ann"])


@pytest.mark.requirement("SEC-GW-14")
async def test_gateways_that_add_at_the_same_time_never_share_a_prefix(
    store: Store, passwords: Passwords
) -> None:
    gateways = [await Tenants.open(store, passwords) for _ in range(3)]
    answers = await asyncio.gather(
        *(gateway.add(f"t{number}", f"u{number}", "x", "same") for number, gateway in enumerate(gateways)),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Tenant", "WrongState", "WrongState"]
    answers = await asyncio.gather(
        *(gateway.add(f"v{number}", f"v{number}", "x") for number, gateway in enumerate(gateways))
    )
    assert len(await tenants_in(store)) == 4


async def test_tenants_of_the_file_cannot_be_changed_here(store: Store, passwords: Passwords) -> None:
    tenants = await Tenants.open(store, passwords, FILE)
    for change in (
        tenants.remove("ann"),
        tenants.set_password("ann", "new"),
        tenants.set_limits("ann", Limits(connections=1)),
    ):
        with pytest.raises(WrongState, match="tenant 'one' is defined in the tenant file: change it there"):
            await change
    for change in (tenants.remove("bob"), tenants.set_password("bob", "new")):
        with pytest.raises(NotFound, match="no tenant with the username 'bob'"):
            await change
    with pytest.raises(ConfigError, match="password must not be empty; overlap must be"):
        await tenants.set_password("ann", "", overlap=-1)


async def test_the_old_password_is_valid_until_the_overlap_ends(
    store: Store, passwords: Passwords, clock: FakeClock
) -> None:
    tenants = await Tenants.open(store, passwords)
    await tenants.add("two", "bob", "old")
    changed = await tenants.set_password("bob", "new", overlap=60)
    tenants.take_changed()

    async def valid() -> list[str]:
        tenant = tenants.by_username("bob")
        assert tenant is not None
        hashes = [stored for _, stored in tenant.passwords(clock.now())]
        return [word for word in ("old", "new") if await passwords.verify(hashes, word) is not None]

    assert await valid() == ["old", "new"]
    assert tenants.password_count == 2
    assert [number for number, _ in changed.passwords(clock.now())] == [2, 1]
    clock.advance(59)
    assert tenants.take_changed() == set()
    assert await valid() == ["old", "new"]
    clock.advance(1)
    assert await valid() == ["new"]
    assert tenants.take_changed() == {"two"}, "so that connections with the old password are closed"
    assert tenants.password_count == 1
    assert tenants.take_changed() == set()


async def test_without_an_overlap_the_old_password_ends_at_once(
    store: Store, passwords: Passwords, clock: FakeClock
) -> None:
    tenants = await Tenants.open(store, passwords)
    await tenants.add("two", "bob", "old")
    changed = await tenants.set_password("bob", "new")
    assert len(list(changed.passwords(clock.now()))) == 1
    assert await passwords.verify([changed.password_hash], "old") is None


async def test_limits_change_for_all_gateways(store: Store, passwords: Passwords) -> None:
    tenants, other = await Tenants.open(store, passwords), await Tenants.open(store, passwords)
    await tenants.add("two", "bob", "x")
    await tenants.set_limits("bob", Limits(enqueue_rate=2.5, queue_length=10))
    await other.refresh()
    found = other.get("two")
    assert found is not None
    assert found.limits == Limits(enqueue_rate=2.5, queue_length=10)
    assert found.principal(1).limits == found.limits


@pytest.mark.requirement("SEC-GW-6")
async def test_a_tenant_of_the_store_that_clashes_with_the_file_is_ignored(
    store: Store, passwords: Passwords, logged: pytest.LogCaptureFixture
) -> None:
    before = await Tenants.open(store, passwords)
    await before.add("two", "bob", "x", "p1")
    await before.add("three", "cleo", "x")
    tenants = await Tenants.open(store, passwords, FILE)
    assert [tenant.id for tenant in tenants.all()] == ["one", "three"]
    await tenants.set_limits("cleo", Limits(connections=1))
    tenants.all()
    events = [record.__dict__["tenant"] for record in logged.records if "tenant" in record.__dict__]
    assert events == ["two"], "logged once"


@pytest.mark.requirement("SEC-GW-6")
@pytest.mark.parametrize("prefix", ["", "a:b", "{"])
async def test_a_stored_tenant_with_a_prefix_that_reaches_further_is_not_accepted(
    store: Store, passwords: Passwords, prefix: str
) -> None:
    fields = {"id": "evil", "username": "evil", "password_hash": "x", "queue_prefix": prefix}
    await store.put_document(COLLECTION, "evil", msgspec.json.encode(fields))
    tenants = await Tenants.open(store, passwords)
    assert tenants.all() == []


@pytest.mark.requirement("SEC-GW-4")
async def test_a_stored_hash_is_made_stronger_unless_the_password_has_changed(store: Store) -> None:
    weak, strong = Passwords(hasher=CountingHasher(memory_cost=8_192)), Passwords()
    await (await Tenants.open(store, weak)).add("two", "bob", "x")
    tenants = await Tenants.open(store, strong)
    found = tenants.by_username("bob")
    assert found is not None
    assert strong.needs_rehash(found.password_hash)
    await tenants.rehash(found, 1, "x")
    now = tenants.by_username("bob")
    assert now is not None
    assert not strong.needs_rehash(now.password_hash)
    assert now.principal(1) == found.principal(1), "connections stay"
    await tenants.rehash(found, 1, "x")  # late: it has a strong hash already
    assert tenants.by_username("bob") == now
    await weak.aclose()
    await strong.aclose()


# --- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "problem"),
    [("", "must not be empty"), ("a" * 65, "has 65 characters"), ("a\0", "must not contain control")],
)
def test_what_is_no_id(id: str, problem: str) -> None:
    assert next(tenant_problems(id, "ann", "x", "prefix")).startswith(f"id {problem}")


def test_an_id_may_have_any_visible_characters_if_a_prefix_is_given() -> None:
    assert not list(tenant_problems("Ärger & Söhne: 1", "ann", "x", "aerger"))


@pytest.mark.parametrize(
    "limits", [{"connections": -1}, {"enqueue_rate": -0.5}, {"enqueue_rate": float("inf")}]
)
def test_a_limit_is_a_number_of_at_least_0(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be a number of at least 0"):
        Limits(**limits)


def test_limits_are_read_from_json_strictly() -> None:
    assert msgspec.json.decode(b'{"connections": 0}', type=Limits) == Limits(connections=0)
    for text in (b'{"connection": 1}', b'{"connections": -1}', b'{"connections": 1.5}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(text, type=Limits)
