"""Changes of tenants and tokens, here or on another gateway, and the connections that they concern."""

from __future__ import annotations

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.roles import Role
from asynqio.errors import AuthenticationFailed, BrokerUnavailable
from asynqio.gateway.principals.authenticate import Authenticator, AuthSettings, Changes
from asynqio.gateway.principals.credentials import Basic
from asynqio.gateway.principals.passwords import Passwords
from asynqio.gateway.principals.principal import Limits, Principal
from asynqio.gateway.principals.tenants import Tenants
from asynqio.gateway.principals.tokens import Tokens
from asynqio.testing import FakeClock, Flaky
from tests.gateway.principals.helpers import CountingHasher, basic, bearer

HOME = "203.0.113.9"


@pytest.fixture
async def authenticator(store: Store, passwords: Passwords) -> Authenticator:
    return await Authenticator.open(
        store, AuthSettings(tenants=[], admin=Basic("root", "of-root")), passwords=passwords
    )


@pytest.fixture
async def elsewhere(store: Store, passwords: Passwords) -> tuple[Tenants, Tokens]:
    """The tenants and tokens of another gateway."""
    return await Tenants.open(store, passwords), Tokens(store)


async def to_close(authenticator: Authenticator, *connected: Principal) -> list[str]:
    """The names of principals whose connections a gateway closes at its next refresh."""
    changes = await authenticator.refresh()
    return [one.name for one in connected if changes.concern(one) and not authenticator.is_valid(one)]


async def connect(authenticator: Authenticator, username: str, password: str) -> Principal:
    return await authenticator.authenticate(basic(username, password), HOME)


@pytest.mark.requirement("SEC-GW-10")
async def test_a_tenant_removed_elsewhere_is_closed_and_the_others_stay(
    authenticator: Authenticator, elsewhere: tuple[Tenants, Tokens]
) -> None:
    tenants, _ = elsewhere
    await tenants.add("one", "ann", "of-ann")
    await tenants.add("two", "bob", "of-bob")
    await authenticator.refresh()
    ann, bob = await connect(authenticator, "ann", "of-ann"), await connect(authenticator, "bob", "of-bob")
    root = await connect(authenticator, "root", "of-root")
    assert await to_close(authenticator, ann, bob, root) == []
    await tenants.remove("ann")
    assert await to_close(authenticator, ann, bob, root) == ["ann"]
    with pytest.raises(AuthenticationFailed):
        await connect(authenticator, "ann", "of-ann")
    # Another tenant with the same id, name and password is another one
    await tenants.add("one", "ann", "of-ann")
    assert await to_close(authenticator, ann, bob, root) == ["ann"]
    assert (await connect(authenticator, "ann", "of-ann")).tenant == "one"


@pytest.mark.requirement("SEC-GW-10")
async def test_a_tenant_removed_here_is_reported_too(authenticator: Authenticator) -> None:
    assert authenticator.tenants is not None
    await authenticator.tenants.add("one", "ann", "of-ann")
    ann = await connect(authenticator, "ann", "of-ann")
    await authenticator.refresh()
    await authenticator.tenants.remove("ann")
    assert not authenticator.is_valid(ann)
    assert await to_close(authenticator, ann) == ["ann"]


@pytest.mark.requirement("SEC-GW-10")
async def test_connections_with_the_old_password_live_as_long_as_it_is_valid(
    authenticator: Authenticator, elsewhere: tuple[Tenants, Tokens], clock: FakeClock
) -> None:
    tenants, _ = elsewhere
    await tenants.add("one", "ann", "old")
    await authenticator.refresh()
    old = await connect(authenticator, "ann", "old")
    await tenants.set_password("ann", "new", overlap=60)
    assert await to_close(authenticator, old) == []
    new = await connect(authenticator, "ann", "new")
    assert await connect(authenticator, "ann", "old") == old
    clock.advance(60)
    assert await to_close(authenticator, old, new) == ["ann"]
    assert authenticator.is_valid(new)
    with pytest.raises(AuthenticationFailed):
        await connect(authenticator, "ann", "old")
    assert await connect(authenticator, "ann", "new") == new


@pytest.mark.requirement("SEC-GW-10")
async def test_changed_limits_end_connections_with_the_old_ones(
    authenticator: Authenticator, elsewhere: tuple[Tenants, Tokens]
) -> None:
    tenants, tokens = elsewhere
    tenant = await tenants.add("one", "ann", "x")
    made = await tokens.create("ci", owner="root", role=Role.WORKER, tenant=tenant)
    await authenticator.refresh()
    ann = await connect(authenticator, "ann", "x")
    token = await authenticator.authenticate(bearer(made.text), HOME)
    await tenants.set_limits("ann", Limits(connections=1))
    assert await to_close(authenticator, ann, token) == ["ann", "ci"]
    assert (await authenticator.authenticate(bearer(made.text), HOME)).limits.connections == 1


@pytest.mark.requirement("SEC-GW-3")
@pytest.mark.requirement("SEC-GW-10")
async def test_a_token_revoked_elsewhere_expired_or_of_a_removed_tenant_is_closed(
    authenticator: Authenticator, elsewhere: tuple[Tenants, Tokens], clock: FakeClock
) -> None:
    tenants, tokens = elsewhere
    tenant = await tenants.add("one", "ann", "x")
    texts = [
        await tokens.create("revoked", owner="root", role=Role.WORKER),
        await tokens.create("expired", owner="root", role=Role.WORKER, lifetime=60),
        await tokens.create("of tenant", owner="root", role=Role.WORKER, tenant=tenant),
        await tokens.create("kept", owner="root", role=Role.WORKER),
    ]
    await authenticator.refresh()
    connected = [await authenticator.authenticate(bearer(made.text), HOME) for made in texts]
    assert await to_close(authenticator, *connected) == []
    await tokens.revoke(texts[0].token.id)
    assert await to_close(authenticator, *connected) == ["revoked"]
    clock.advance(60)
    assert await to_close(authenticator, *connected) == ["expired"]
    await tenants.remove("ann")
    assert await to_close(authenticator, *connected) == ["of tenant"]
    valid = [authenticator.is_valid(one) for one in connected]
    assert valid == [False, False, False, True]


@pytest.mark.requirement("SEC-GW-3")
async def test_a_token_revoked_elsewhere_fails_within_a_second_even_without_a_refresh(
    authenticator: Authenticator, elsewhere: tuple[Tenants, Tokens], clock: FakeClock
) -> None:
    _, tokens = elsewhere
    made = await tokens.create("ci", owner="root", role=Role.WORKER)
    clock.advance(1.1)
    await authenticator.authenticate(bearer(made.text), HOME)
    await tokens.revoke(made.token.id)
    clock.advance(1.1)
    with pytest.raises(AuthenticationFailed):
        await authenticator.authenticate(bearer(made.text), HOME)


@pytest.mark.requirement("SEC-GW-4")
async def test_a_weak_hash_is_replaced_at_login_and_connections_stay(store: Store, clock: FakeClock) -> None:
    weak, strong = Passwords(hasher=CountingHasher(memory_cost=8_192)), Passwords()
    await (await Tenants.open(store, weak)).add("one", "ann", "x")
    authenticator = await Authenticator.open(store, AuthSettings(tenants=[]), passwords=strong)
    ann = await connect(authenticator, "ann", "x")
    assert authenticator.tenants is not None
    tenant = authenticator.tenants.get("one")
    assert tenant is not None
    assert not strong.needs_rehash(tenant.password_hash)
    assert await to_close(authenticator, ann) == []
    assert await connect(authenticator, "ann", "x") == ann
    await weak.aclose()
    await strong.aclose()


async def test_a_failed_rehash_does_not_refuse_the_login(store: Store) -> None:
    weak, strong = Passwords(hasher=CountingHasher(memory_cost=8_192)), Passwords()
    await (await Tenants.open(store, weak)).add("one", "ann", "x")
    flaky = Flaky(store)
    authenticator = await Authenticator.open(flaky.broker, AuthSettings(tenants=[]), passwords=strong)
    flaky.fail(1, "put_document")
    assert (await connect(authenticator, "ann", "x")).tenant == "one"
    await weak.aclose()
    await strong.aclose()


async def test_a_refresh_that_fails_reports_its_changes_the_next_time(
    store: Store, passwords: Passwords, elsewhere: tuple[Tenants, Tokens]
) -> None:
    flaky = Flaky(store)
    authenticator = await Authenticator.open(flaky.broker, AuthSettings(tenants=[]), passwords=passwords)
    tenants, _ = elsewhere
    await tenants.add("one", "ann", "x")
    flaky.fail(1, "collection")
    with pytest.raises(BrokerUnavailable):
        await authenticator.refresh()
    assert await authenticator.refresh() == Changes(frozenset({"one"}), frozenset())
    assert await authenticator.refresh() == Changes(frozenset(), frozenset())


async def test_an_idle_refresh_is_one_read_per_collection(
    store: Store, passwords: Passwords, elsewhere: tuple[Tenants, Tokens]
) -> None:
    flaky = Flaky(store)
    authenticator = await Authenticator.open(flaky.broker, AuthSettings(tenants=[]), passwords=passwords)
    before = dict(flaky.calls)
    for _ in range(10):
        await authenticator.refresh()
    assert {name: count - before.get(name, 0) for name, count in flaky.calls.items()} == {"collection": 20}


async def test_a_store_that_refuses_writes_hinders_no_refresh_and_no_end(
    store: Store, elsewhere: tuple[Tenants, Tokens], logged: pytest.LogCaptureFixture
) -> None:
    flaky = Flaky(store)
    _, tokens = elsewhere
    made = await tokens.create("ci", owner="root", role=Role.WORKER)
    authenticator = await Authenticator.open(flaky.broker, AuthSettings(tenants=[]))
    await authenticator.refresh()
    token = await authenticator.authenticate(bearer(made.text), HOME)
    flaky.fail(2, "put_document")
    await tokens.revoke(made.token.id)
    assert await to_close(authenticator, token) == ["ci"]
    await authenticator.aclose()
    events = [record.__dict__.get("event") for record in logged.records]
    assert events.count("access_records_not_written") == 2
