"""Authentication without credentials, with one user, with tenants, with tokens, and for those who manage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.core.access.roles import Role
from asynqio.errors import AuthenticationFailed, BrokerUnavailable, ConfigError
from asynqio.gateway.principals.authenticate import Authenticator, AuthSettings
from asynqio.gateway.principals.credentials import Basic, Bearer
from asynqio.gateway.principals.passwords import Passwords
from asynqio.gateway.principals.principal import Kind, Principal
from asynqio.gateway.principals.tenant_file import TenantEntry
from asynqio.testing import FakeClock, Flaky
from tests.gateway.principals.helpers import basic, bearer

ADDRESS = "203.0.113.9"
LOCAL = [(b"host", b"localhost:8080")]
ENTRIES = [
    TenantEntry(id="one", username="ann", queue_prefix="p1", password="of-ann"),
    TenantEntry(id="two", username="bob", queue_prefix="p2", password="of-bob"),
]
ADMIN = Basic("root", "of-root")
ADMIN_TOKEN = Bearer("administrator-token-of-32-letters")

Open = Callable[..., Awaitable[Authenticator]]


@pytest.fixture
def kind() -> str:
    """The store does not matter here."""
    return "memory"


@pytest.fixture
async def opened(store: Store, passwords: Passwords) -> Open:
    """Opens an authenticator with these settings."""

    async def open(**settings: Any) -> Authenticator:
        return await Authenticator.open(store, AuthSettings(**settings), passwords=passwords)

    return open


def manages(principal: Principal) -> bool:
    allowed = {action for action in MANAGEMENT if principal.access.allows(action)}
    assert allowed in (set(), MANAGEMENT)
    return bool(allowed)


async def test_without_credentials_everybody_does_everything_except_manage(opened: Open) -> None:
    authenticator = await opened()
    for headers in (LOCAL, basic("ann", "x"), [(b"authorization", b"nonsense")]):
        principal = await authenticator.authenticate(headers, ADDRESS)
        assert (principal.kind, principal.scope.prefix) == (Kind.ANONYMOUS, "")
        assert principal.access.everything
        assert not manages(principal)


@pytest.mark.requirement("SEC-GW-2")
async def test_one_user_does_everything_except_manage(opened: Open) -> None:
    authenticator = await opened(user=Basic("ann", "s3:cret"))
    principal = await authenticator.authenticate(basic("ann", "s3:cret"), ADDRESS)
    assert (principal.kind, principal.name, principal.scope.prefix) == (Kind.USER, "ann", "")
    assert principal.access.everything
    assert not manages(principal)
    for headers in (basic("ann", "s3"), basic("bob", "s3:cret"), basic("ann", ""), basic("", "s3:cret")):
        with pytest.raises(AuthenticationFailed, match="the user name or the password is wrong"):
            await authenticator.authenticate(headers, ADDRESS)
    with pytest.raises(AuthenticationFailed, match="credentials are missing"):
        await authenticator.authenticate(LOCAL, "127.0.0.1")


@pytest.mark.requirement("SEC-GW-2")
async def test_each_tenant_has_its_own_scope(opened: Open) -> None:
    authenticator = await opened(tenants=ENTRIES)
    ann = await authenticator.authenticate(basic("ann", "of-ann"), ADDRESS)
    bob = await authenticator.authenticate(basic("bob", "of-bob", "bAsIc"), ADDRESS)
    assert [(one.kind, one.tenant, one.scope.prefix) for one in (ann, bob)] == [
        (Kind.TENANT, "one", "p1"),
        (Kind.TENANT, "two", "p2"),
    ]
    assert not manages(ann)
    with pytest.raises(AuthenticationFailed):
        await authenticator.authenticate(basic("ann", "of-bob"), "203.0.113.10")


@pytest.mark.requirement("SEC-GW-2")
@pytest.mark.requirement("SEC-GW-14")
async def test_the_administrator_manages_by_password_or_token(opened: Open) -> None:
    authenticator = await opened(tenants=ENTRIES, admin=ADMIN, admin_token=ADMIN_TOKEN)
    for headers in (basic("root", "of-root"), bearer(ADMIN_TOKEN.token)):
        for manage in (True, False):
            principal = await authenticator.authenticate(headers, ADDRESS, manage=manage)
            assert principal.kind is Kind.ADMIN
            assert manages(principal)
            assert not principal.access.allows(Action.CLAIM)
    tenant = await authenticator.authenticate(basic("ann", "of-ann"), ADDRESS, manage=True)
    assert not manages(tenant), "the route answers 403"
    for headers in (basic("root", "x"), bearer(ADMIN_TOKEN.token + "x"), bearer(""), LOCAL):
        with pytest.raises(AuthenticationFailed):
            await authenticator.authenticate(headers, "127.0.0.1", manage=True)


@pytest.mark.requirement("SEC-GW-14")
@pytest.mark.parametrize("mode", [{}, {"user": Basic("ann", "x")}, {"tenants": []}])
async def test_without_an_administrator_only_this_machine_manages_a_gateway_that_only_it_reaches(
    opened: Open, mode: dict[str, Any]
) -> None:
    authenticator = await opened(loopback_only=True, **mode)
    principal = await authenticator.authenticate(LOCAL, "127.0.0.1", manage=True)
    assert manages(principal)
    for headers, address, reason in [
        (LOCAL, ADDRESS, "the request does not come from this machine"),
        ([(b"host", b"evil.example")], "127.0.0.1", "its Host header does not name this machine"),
        ([*LOCAL, (b"origin", b"http://localhost")], "127.0.0.1", "a web page has sent the request"),
        ([*LOCAL, (b"x-forwarded-for", b"::1")], "127.0.0.1", "a proxy has forwarded the request"),
    ]:
        with pytest.raises(AuthenticationFailed, match=f"no administrator is configured, and {reason}"):
            await authenticator.authenticate(headers, address, manage=True)
    beyond = await opened(loopback_only=False, **mode)
    with pytest.raises(AuthenticationFailed, match="listens beyond this machine or behind a proxy"):
        await beyond.authenticate(LOCAL, "127.0.0.1", manage=True)


@pytest.mark.requirement("SEC-GW-14")
@pytest.mark.parametrize("admin", [{"admin": ADMIN}, {"admin_token": ADMIN_TOKEN}])
async def test_with_an_administrator_nobody_else_manages(opened: Open, admin: dict[str, Any]) -> None:
    authenticator = await opened(loopback_only=True, **admin)
    with pytest.raises(AuthenticationFailed, match="credentials are missing"):
        await authenticator.authenticate(LOCAL, "127.0.0.1", manage=True)
    with pytest.raises(AuthenticationFailed):
        await authenticator.authenticate(basic("root", "wrong"), "127.0.0.1", manage=True)


@pytest.mark.requirement("SEC-GW-3")
async def test_tokens_are_accepted_beside_passwords(opened: Open, clock: FakeClock) -> None:
    authenticator = await opened(tenants=ENTRIES)
    assert authenticator.tenants is not None
    tokens = authenticator.tokens
    made = await tokens.create("ci", owner="root", role=Role.PRODUCER, lifetime=60)
    of_ann = await tokens.create(
        "of ann", owner="root", role=Role.ADMIN, tenant=authenticator.tenants.get("one")
    )
    principal = await authenticator.authenticate(bearer(made.text), ADDRESS)
    assert (principal.kind, principal.token, principal.scope.prefix) == (Kind.TOKEN, made.token.id, "")
    assert principal is await authenticator.authenticate(bearer(made.text), ADDRESS), "made once"
    principal = await authenticator.authenticate(bearer(of_ann.text), ADDRESS, manage=True)
    assert (principal.tenant, principal.scope.prefix) == ("one", "p1")
    assert not manages(principal)
    assert await tokens.uses.read() == {made.token.id: clock.now(), of_ann.token.id: clock.now()}
    clock.advance(60)
    for text in (made.text, "asq_" + "0" * 49, "", "x" * 5_000):
        with pytest.raises(AuthenticationFailed, match="the token is unknown, expired or revoked"):
            await authenticator.authenticate(bearer(text), ADDRESS)


@pytest.mark.requirement("SEC-GW-3")
async def test_a_token_of_a_removed_tenant_fails_even_if_another_one_gets_its_id(opened: Open) -> None:
    authenticator = await opened(tenants=[])
    assert authenticator.tenants is not None
    tenant = await authenticator.tenants.add("one", "ann", "x")
    made = await authenticator.tokens.create("ci", owner="root", role=Role.WORKER, tenant=tenant)
    await authenticator.authenticate(bearer(made.text), ADDRESS)
    await authenticator.tenants.remove("ann")
    for _ in range(2):
        with pytest.raises(AuthenticationFailed):
            await authenticator.authenticate(bearer(made.text), ADDRESS)
        if authenticator.tenants.get("one") is None:
            await authenticator.tenants.add("one", "cleo", "y")
    without_tenants = await opened(user=Basic("ann", "x"))
    with pytest.raises(AuthenticationFailed):
        await without_tenants.authenticate(bearer(made.text), ADDRESS)


async def test_a_credential_of_another_kind_is_refused(opened: Open) -> None:
    authenticator = await opened(user=Basic("ann", "x"))
    for headers in ([(b"authorization", b"Digest x")], [*basic("ann", "x"), *basic("ann", "x")]):
        with pytest.raises(AuthenticationFailed):
            await authenticator.authenticate(headers, ADDRESS)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"user": Basic("ann", "x"), "tenants": []}, "exclude each other"),
        ({"user": Basic("ann", "x"), "admin": Basic("ann", "y")}, "different user names"),
        ({"admin_token": Bearer("short")}, "needs at least 32 characters"),
        ({"tenants": ENTRIES, "admin": Basic("ann", "x")}, "is that of the administrator"),
    ],
)
async def test_settings_that_contradict_each_other_are_refused(
    opened: Open, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        await opened(**settings)


@pytest.mark.requirement("SEC-GW-11")
async def test_nobody_is_admitted_while_tenants_and_tokens_cannot_be_read(
    store: Store, passwords: Passwords, clock: FakeClock
) -> None:
    flaky = Flaky(store)
    settings = AuthSettings(tenants=ENTRIES, admin=ADMIN)
    authenticator = await Authenticator.open(flaky.broker, settings, passwords=passwords)
    made = await authenticator.tokens.create("ci", owner="root", role=Role.PRODUCER)
    everybody = [basic("ann", "of-ann"), basic("root", "of-root"), bearer(made.text)]
    for headers in everybody:
        await authenticator.authenticate(headers, ADDRESS)
    flaky.fail()
    clock.advance(1.1)
    for headers in everybody:
        with pytest.raises(BrokerUnavailable):
            await authenticator.authenticate(headers, ADDRESS)
    flaky.recover()
    for headers in everybody:
        await authenticator.authenticate(headers, ADDRESS)
