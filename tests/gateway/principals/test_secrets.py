"""No password, token or hash reaches a `repr`, an error or a log."""

from __future__ import annotations

import pprint
import traceback
from pathlib import Path

import pytest

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.roles import Role
from asynqio.errors import AsynqioError
from asynqio.gateway.principals import token_uses, tokens
from asynqio.gateway.principals.authenticate import Authenticator, AuthSettings
from asynqio.gateway.principals.credentials import Basic, Bearer, check_pair, credentials_of
from asynqio.gateway.principals.passwords import Passwords
from asynqio.gateway.principals.tenant_file import TenantEntry, load_tenant_file
from asynqio.gateway.principals.tenants import COLLECTION
from tests.gateway.principals.helpers import basic, bearer, dump

CANARY = "canary-of-32-letters-and-a-bit-more"
HOME = "203.0.113.9"


def shown(thing: object) -> str:
    """All texts that a thing is shown as."""
    return f"{thing!r} {thing!s} {thing} {pprint.pformat(thing)} {getattr(thing, '__rich_repr__', list)()!r}"


def told(error: BaseException) -> str:
    """All texts that an error is reported as."""
    return f"{shown(error)} {vars(error)} {''.join(traceback.format_exception(error))}"


@pytest.mark.requirement("SEC-SECRET-1")
async def test_whatever_holds_a_secret_does_not_show_it(store: Store, passwords: Passwords) -> None:
    entry = TenantEntry(id="one", username="ann", queue_prefix="one", password=CANARY)
    settings = AuthSettings(tenants=[entry], admin=Basic("root", CANARY), admin_token=Bearer(CANARY))
    authenticator = await Authenticator.open(store, settings, passwords=passwords)
    assert authenticator.tenants is not None
    tenant = await authenticator.tenants.add("two", "bob", CANARY)
    made = await authenticator.tokens.create("ci", owner="root", role=Role.WORKER)
    principals = [
        await authenticator.authenticate(headers, HOME)
        for headers in (basic("ann", CANARY), basic("root", CANARY), bearer(CANARY), bearer(made.text))
    ]
    holders = [
        settings,
        entry,
        tenant,
        made,
        made.token,
        authenticator,
        authenticator.tenants.all(),
        passwords,
        credentials_of(basic("ann", CANARY)),
        credentials_of(bearer(CANARY)),
        check_pair("A_USER", "ann", "A_PASSWORD", CANARY),
        *principals,
    ]
    secrets = {CANARY, made.text, made.token.digest, tenant.password_hash, "$argon2"}
    for holder in holders:
        found = {secret for secret in secrets if secret in shown(holder)}
        assert not found, type(holder)
    for principal in principals:
        assert not any(secret in str(vars_of(principal)) for secret in secrets), "not even in its fields"


def vars_of(principal: object) -> dict[str, object]:
    return {name: getattr(principal, name) for name in principal.__struct_fields__}  # type: ignore[attr-defined]


@pytest.mark.requirement("SEC-SECRET-1")
async def test_errors_and_logs_of_every_path_are_without_secrets(
    store: Store, passwords: Passwords, logged: pytest.LogCaptureFixture
) -> None:
    authenticator = await Authenticator.open(store, AuthSettings(tenants=[]), passwords=passwords)
    assert authenticator.tenants is not None
    await authenticator.tenants.add("one", "ann", CANARY)
    made = await authenticator.tokens.create("ci", owner="root", role=Role.WORKER)
    texts = []
    for headers in (
        *[basic("ann", f"{CANARY} {number}") for number in range(7)],
        basic(CANARY, CANARY),
        *[bearer(made.text[:-1])] * 7,
        [(b"authorization", b"Basic " + CANARY.encode())],
        [(b"authorization", CANARY.encode())],
    ):
        with pytest.raises(AsynqioError) as refused:
            await authenticator.authenticate(headers, HOME)
        texts.append(told(refused.value))
    for call in (
        authenticator.tenants.add("one", "ann", CANARY),
        authenticator.tenants.add("a:b", "a:b", CANARY * 100),
        authenticator.tenants.set_password("nobody", CANARY),
        authenticator.tenants.set_password("ann", CANARY * 100, overlap=-1),
    ):
        with pytest.raises(AsynqioError) as invalid:
            await call
        texts.append(told(invalid.value))
    everything = " ".join(texts) + logged.text + str([vars(record) for record in logged.records])
    assert CANARY not in everything
    assert made.text[4:40] not in everything


@pytest.mark.requirement("SEC-SECRET-1")
@pytest.mark.parametrize("end", ["", '"', '"}', '"}]x', '", "password_hash": "x"}]', '", "\xff": 1}]'])
def test_a_broken_tenant_file_is_reported_without_its_passwords(
    tmp_path: Path, logged: pytest.LogCaptureFixture, end: str
) -> None:
    path = tmp_path / "tenants.json"
    path.write_bytes(f'[{{"id": "a", "username": "a", "password": "{CANARY}{end}'.encode("latin-1"))
    with pytest.raises(AsynqioError) as error:
        load_tenant_file(path)
    assert CANARY not in told(error.value) + logged.text
    assert error.value.__context__ is None, "the errors of the parser contain the file"


@pytest.mark.requirement("SEC-GW-3")
@pytest.mark.requirement("SEC-GW-4")
async def test_a_dump_of_the_store_holds_nothing_that_can_be_used(store: Store, passwords: Passwords) -> None:
    entry = TenantEntry(id="one", username="ann", queue_prefix="one", password=CANARY)
    settings = AuthSettings(tenants=[entry], admin=Basic("root", CANARY), admin_token=Bearer(CANARY))
    authenticator = await Authenticator.open(store, settings, passwords=passwords)
    assert authenticator.tenants is not None
    await authenticator.tenants.add("two", "bob", CANARY)
    made = await authenticator.tokens.create("ci", owner="root", role=Role.ADMIN)
    await authenticator.authenticate(bearer(made.text), HOME)
    await authenticator.aclose()
    text = await dump(store, COLLECTION, tokens.COLLECTION, token_uses.COLLECTION)
    assert "bob" in text
    assert made.token.id in text
    assert CANARY not in text
    assert made.text[4:40] not in text
    assert "root" in text, "the owner of the token"
    assert "ann" not in text
    again = await Authenticator.open(store, settings)
    for word in text.replace('"', " ").replace(",", " ").split():
        with pytest.raises(AsynqioError):
            await again.authenticate(bearer(word), HOME)
    await again.aclose()
