"""API tokens: shown once, stored as hashes, gone when revoked."""

from __future__ import annotations

import hashlib
import json

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.core.access.grants import Grant
from asynqio.core.access.roles import Role
from asynqio.errors import BrokerUnavailable, ConfigError, NotFound
from asynqio.gateway.principals import token_uses
from asynqio.gateway.principals.passwords import Passwords
from asynqio.gateway.principals.principal import Kind, Limits
from asynqio.gateway.principals.tenants import Tenants
from asynqio.gateway.principals.tokens import COLLECTION, Tokens
from asynqio.testing import FakeClock, Flaky
from tests.gateway.principals.helpers import dump

DAY = 86_400.0


@pytest.mark.requirement("SEC-GW-3")
async def test_a_token_is_stored_as_its_hash_with_its_facts(store: Store, clock: FakeClock) -> None:
    tokens = Tokens(store)
    made = await tokens.create("ci", owner="root", role=Role.PRODUCER, queues=["mail"], lifetime=DAY)
    text = await dump(store, COLLECTION)
    assert made.text not in text
    assert made.text[4:47] not in text, "nor its random part"
    stored = json.loads(text.partition(" ")[2])
    assert stored["digest"] == hashlib.sha256(made.text.encode()).hexdigest()
    assert {name: stored[name] for name in ("name", "owner", "role", "created", "expires")} == {
        "name": "ci",
        "owner": "root",
        "role": "producer",
        "created": clock.now(),
        "expires": clock.now() + DAY,
    }
    assert tokens.find(made.text) == made.token
    assert tokens.find(made.token.digest) is None, "what is stored cannot be used"


@pytest.mark.requirement("SEC-GW-3")
async def test_a_revoked_token_fails_here_at_once_and_elsewhere_after_a_refresh(store: Store) -> None:
    tokens, other = Tokens(store), Tokens(store)
    made = await tokens.create("ci", owner="root", role=Role.PRODUCER)
    await other.refresh()
    assert other.find(made.text) == made.token
    assert other.take_changed() == {made.token.id}
    assert await tokens.revoke(made.token.id) == made.token
    assert tokens.find(made.text) is None
    await other.refresh()
    assert other.find(made.text) is None
    assert other.take_changed() == {made.token.id}
    assert await dump(store, COLLECTION) == ""
    with pytest.raises(NotFound, match=made.token.id):
        await tokens.revoke(made.token.id)


@pytest.mark.requirement("SEC-GW-3")
async def test_two_tokens_are_valid_at_a_time_for_rotation(store: Store) -> None:
    tokens = Tokens(store)
    old = await tokens.create("ci", owner="root", role=Role.WORKER)
    new = await tokens.create("ci", owner="root", role=Role.WORKER)
    assert [tokens.find(one.text) for one in (old, new)] == [old.token, new.token]
    await tokens.revoke(old.token.id)
    assert [tokens.find(one.text) for one in (old, new)] == [None, new.token]


@pytest.mark.requirement("SEC-GW-3")
async def test_a_token_expires(store: Store, clock: FakeClock) -> None:
    tokens = Tokens(store)
    made = await tokens.create("ci", owner="root", role=Role.PRODUCER, lifetime=60)
    tokens.take_changed()
    clock.advance(59)
    assert tokens.find(made.text)
    assert tokens.take_changed() == set()
    clock.advance(1)
    assert tokens.find(made.text) is None
    assert tokens.get(made.token.id) is None
    assert tokens.take_changed() == {made.token.id}
    assert tokens.take_changed() == set()
    assert tokens.all() == [made.token], "an administrator still sees it"


async def test_the_rights_of_a_token_are_those_of_its_role_and_grants(store: Store) -> None:
    tokens = Tokens(store)
    made = await tokens.create(
        "ci",
        owner="root",
        role=Role.PRODUCER,
        queues=["mail"],
        types=["email:*"],
        grants=[Grant(frozenset({Action.CANCEL}), ("web",))],
    )
    principal = made.token.principal(None)
    assert (principal.kind, principal.name, principal.token) == (Kind.TOKEN, "ci", made.token.id)
    assert principal.access.allows(Action.ENQUEUE, "mail", "email:send")
    assert not principal.access.allows(Action.ENQUEUE, "web", "email:send")
    assert principal.access.allows(Action.CANCEL, "web", "x")
    again = Tokens(store)
    await again.refresh()
    assert again.find(made.text) == made.token


@pytest.mark.requirement("SEC-GW-14")
async def test_a_token_of_a_tenant_has_its_scope_and_limits_and_never_manages(
    store: Store, passwords: Passwords
) -> None:
    tenants, tokens = await Tenants.open(store, passwords), Tokens(store)
    tenant = await tenants.add("two", "bob", "x", "p2", Limits(connections=3))
    made = await tokens.create("all", owner="root", role=Role.ADMIN, tenant=tenant)
    principal = made.token.principal(tenant)
    assert (principal.scope.prefix, principal.limits.connections, principal.tenant) == ("p2", 3, "two")
    assert not any(principal.access.allows(action) for action in MANAGEMENT)
    assert principal.access.allows(Action.DELETE_QUEUE, "mail")
    of_gateway = await tokens.create("all", owner="root", role=Role.ADMIN)
    assert all(of_gateway.token.principal(None).access.allows(action) for action in MANAGEMENT)


async def test_a_token_without_rights_or_with_an_invalid_field_is_refused(store: Store) -> None:
    tokens = Tokens(store)
    with pytest.raises(ConfigError) as error:
        await tokens.create(" ", owner="root", lifetime=0)
    assert [text.split()[0] for text in error.value.problems] == ["name", "role", "lifetime"]
    with pytest.raises(ConfigError, match="queues or types: a pattern must not be empty"):
        await tokens.create("ci", owner="root", role=Role.VIEWER, queues=[""])
    assert tokens.all() == []


@pytest.mark.parametrize("text", ["", "asq_", "x" * 10_000, "asq_" + "0" * 49, "é"])
async def test_texts_that_are_no_token_find_nothing(store: Store, text: str) -> None:
    tokens = Tokens(store)
    await tokens.create("ci", owner="root", role=Role.PRODUCER)
    assert tokens.find(text) is None


# --- last use -------------------------------------------------------------------------------------


async def test_the_last_use_is_written_at_most_once_a_minute_for_all_tokens_together(
    store: Store, clock: FakeClock
) -> None:
    flaky = Flaky(store)
    tokens = Tokens(flaky.broker)
    made = [await tokens.create(f"t{number}", owner="root", role=Role.PRODUCER) for number in range(3)]
    ids = {one.token.id for one in made}
    await tokens.uses.flush(ids)
    before = flaky.calls["put_document"]

    async def use_all() -> None:
        for _ in range(100):
            for id in ids:
                tokens.uses.note(id)
            await tokens.uses.flush(ids)

    await use_all()
    assert flaky.calls["put_document"] == before + 1
    start = clock.now()
    clock.advance(59)
    await use_all()
    assert flaky.calls["put_document"] == before + 1
    assert await Tokens(store).uses.read() == dict.fromkeys(ids, start)
    assert await tokens.uses.read() == dict.fromkeys(ids, start + 59), "what is not written yet as well"
    clock.advance(1)
    await tokens.uses.flush(ids)
    assert flaky.calls["put_document"] == before + 2
    assert await Tokens(store).uses.read() == dict.fromkeys(ids, start + 59)


async def test_the_uses_of_several_gateways_are_merged_and_those_of_revoked_tokens_dropped(
    store: Store, clock: FakeClock
) -> None:
    one, other = Tokens(store), Tokens(store)
    start = clock.now()
    one.uses.note("a")
    other.uses.note("b")
    clock.advance(10)
    one.uses.note("b")
    await one.uses.flush({"a", "b"}, now=True)
    await other.uses.flush({"a", "b"}, now=True)
    assert await one.uses.read() == {"a": start, "b": start + 10}
    other.uses.note("c")
    await other.uses.flush({"b", "c"}, now=True)
    assert await one.uses.read() == {"b": start + 10, "c": start + 10}


async def test_uses_that_cannot_be_written_are_kept(store: Store, clock: FakeClock) -> None:
    flaky = Flaky(store)
    tokens = Tokens(flaky.broker)
    tokens.uses.note("a")
    flaky.fail(1, "put_document")
    with pytest.raises(BrokerUnavailable):
        await tokens.uses.flush({"a"})
    await tokens.uses.flush({"a"}, now=True)
    assert await Tokens(store).uses.read() == {"a": clock.now()}
    await store.put_document(token_uses.COLLECTION, token_uses.DOCUMENT, b"damaged")
    assert await Tokens(store).uses.read() == {}
    tokens.uses.note("a")
    await tokens.uses.flush({"a"}, now=True)
    assert await Tokens(store).uses.read() == {"a": clock.now()}
