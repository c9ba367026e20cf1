"""Authentication: from the headers of a request to its principal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.grants import FULL_ACCESS, Access
from asynqio.core.access.roles import Role, grants_of
from asynqio.errors import AuthenticationFailed, BrokerError, ConfigError, NotFound, WrongState
from asynqio.gateway.principals.attempts import Attempts
from asynqio.gateway.principals.attempts_record import AttemptsRecord
from asynqio.gateway.principals.credentials import Basic, Bearer, Headers, credentials_of
from asynqio.gateway.principals.loopback import obstacle
from asynqio.gateway.principals.passwords import Passwords
from asynqio.gateway.principals.principal import TASK_ACCESS, Kind, Principal
from asynqio.gateway.principals.tenant import MAX_USERNAME, Tenant
from asynqio.gateway.principals.tenant_file import TenantEntry
from asynqio.gateway.principals.tenants import Tenants
from asynqio.gateway.principals.token_text import digest_of
from asynqio.gateway.principals.tokens import Token, Tokens

#: Seconds after which tenants and tokens are read again before they are relied on.
STALE = 1.0
#: Fewest characters of the administrator's token: 128 bits in hex.
MIN_ADMIN_TOKEN = 32

ANONYMOUS = Principal(name="anonymous", kind=Kind.ANONYMOUS, access=TASK_ACCESS)
#: Who manages a gateway without administrator, from its own machine.
LOCAL_ADMIN = Principal(name="local", kind=Kind.ANONYMOUS, access=FULL_ACCESS)
_ADMIN_ACCESS = Access(grants_of(Role.ADMIN))

log = logging.getLogger("asynqio.gateway")


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a gateway authenticates. Without `user` and `tenants`: not at all, except for managing it."""

    #: The one user of a gateway without tenants.
    user: Basic | None = None
    #: The entries of the tenant file, which may be empty; None: a gateway without tenants.
    tenants: Sequence[TenantEntry] | None = None
    admin: Basic | None = None
    admin_token: Bearer | None = None
    #: The gateway listens on loopback addresses only and trusts no proxy.
    loopback_only: bool = False


class Changes(NamedTuple):
    """Whose credentials, rights or limits may have changed: ids of tenants and of tokens."""

    tenants: frozenset[str]
    tokens: frozenset[str]

    def concern(self, principal: Principal) -> bool:
        return principal.tenant in self.tenants or principal.token in self.tokens


class _Account(NamedTuple):
    """An account with a password: a tenant, or a user of the settings."""

    #: The numbers and hashes of those that are valid.
    passwords: tuple[tuple[int, str], ...]
    of: Tenant | Principal

    def principal(self, password_number: int) -> Principal:
        return self.of if isinstance(self.of, Principal) else self.of.principal(password_number)


_NO_ACCOUNT = _Account((), ANONYMOUS)


class Authenticator:
    """Authenticates requests. Open it with `Authenticator.open`, close it with `aclose`.

    It fails closed: if the store of tenants and tokens does not answer, so do all credentials.
    """

    def __init__(
        self,
        accounts: dict[str, _Account],
        admin_token: str,
        settings: AuthSettings,
        tenants: Tenants | None,
        tokens: Tokens,
        passwords: Passwords,
        attempts: Attempts,
        record: AttemptsRecord,
    ) -> None:
        self._accounts = accounts
        self._admin_token = admin_token
        self._open = settings.user is None and settings.tenants is None
        self._has_admin = settings.admin is not None or settings.admin_token is not None
        self._loopback_only = settings.loopback_only
        self.tenants = tenants
        self.tokens = tokens
        self._passwords = passwords
        self._attempts = attempts
        self._record = record
        self._key = secrets.token_bytes(32)
        self._checks: dict[bytes, asyncio.Task[Principal]] = {}
        self._of_tokens: dict[str, tuple[Token, Tenant | None, Principal]] = {}

    @classmethod
    async def open(
        cls, store: Store, settings: AuthSettings, *, passwords: Passwords | None = None
    ) -> Authenticator:
        """Hash the passwords of the settings, which are not kept, and read tenants and tokens. Raises ConfigError."""
        _check(settings)
        passwords = passwords or Passwords()
        accounts: dict[str, _Account] = {}
        for given, kind, access in (
            (settings.user, Kind.USER, TASK_ACCESS),
            (settings.admin, Kind.ADMIN, _ADMIN_ACCESS),
        ):
            if given is not None:
                principal = Principal(name=given.username, kind=kind, access=access)
                stored = await passwords.hash(given.password)
                accounts[given.username] = _Account(((1, stored),), principal)
        tenants = None
        if settings.tenants is not None:
            tenants = await Tenants.open(store, passwords, settings.tenants, reserved=accounts)
        tokens, attempts = Tokens(store), Attempts(store.clock)
        record = AttemptsRecord(store, attempts)
        await tokens.refresh()
        await record.load()
        admin_token = digest_of(settings.admin_token.token) if settings.admin_token else ""
        return cls(accounts, admin_token, settings, tenants, tokens, passwords, attempts, record)

    async def authenticate(self, headers: Headers, client_address: str, *, manage: bool = False) -> Principal:
        """The principal of a request with these headers from this address, which a trusted proxy may have given.

        `manage`: for a route that manages the gateway. Where no administrator is configured, a request of this
        machine without credentials may manage a gateway that only this machine reaches. Raises AuthenticationFailed,
        TooManyAttempts; BrokerUnavailable if tenants and tokens cannot be read.
        """
        if self._open and not manage:
            return ANONYMOUS
        given = credentials_of(headers)
        if given is None:
            if manage and not self._has_admin:
                return self._local_admin(headers, client_address)
            raise AuthenticationFailed("credentials are missing: send an Authorization header")
        await self._refresh_stale()
        if isinstance(given, Bearer):
            return self._by_token(given, client_address)
        return await self._by_password(given, client_address)

    def is_valid(self, principal: Principal) -> bool:
        """Whether a principal that was authenticated before would be the same now."""
        match principal.kind:
            case Kind.TENANT:
                tenant = self.tenants.get(principal.tenant) if self.tenants else None
                return tenant is not None and any(
                    tenant.principal(number) == principal for number, _ in tenant.passwords(self._now())
                )
            case Kind.TOKEN:
                token = self.tokens.get(principal.token)
                return token is not None and self._principal_of(token) == principal
            case _:
                return True

    async def refresh(self) -> Changes:
        """Follow the changes that other gateways made; returns those since the last call, own ones included.

        Call it every half second. Close the connections of each principal that it concerns and that is not valid any
        more. Raises BrokerUnavailable.
        """
        await self.tokens.refresh()
        if self.tenants is not None:
            await self.tenants.refresh()
        await self._write_records()
        changes = Changes(
            self.tenants.take_changed() if self.tenants is not None else frozenset(),
            self.tokens.take_changed(),
        )
        for id in changes.tokens:
            self._of_tokens.pop(id, None)
        return changes

    async def aclose(self) -> None:
        """Write when tokens were used and which attempts failed, and end the threads that hash passwords."""
        await self._write_records(now=True)
        await self._passwords.aclose()

    def _now(self) -> float:
        return self.tokens.clock.now()

    def _local_admin(self, headers: Headers, client_address: str) -> Principal:
        reason = (
            obstacle(headers, client_address)
            if self._loopback_only
            else "the gateway listens beyond this machine or behind a proxy"
        )
        if reason:
            raise AuthenticationFailed(
                f"no administrator is configured, and {reason}: configure an administrator"
            )
        return LOCAL_ADMIN

    async def _refresh_stale(self) -> None:
        if self.tokens.age > STALE:
            await self.tokens.refresh()
        if self.tenants is not None and self.tenants.age > STALE:
            await self.tenants.refresh()

    def _by_token(self, given: Bearer, address: str) -> Principal:
        digest = digest_of(given.token)
        if self._admin_token and hmac.compare_digest(digest, self._admin_token):
            return Principal(name="admin", kind=Kind.ADMIN, access=_ADMIN_ACCESS)
        token = self.tokens.find(given.token)
        principal = self._principal_of(token) if token is not None else None
        if principal is None:
            self._attempts.token_failed(address)
            self._log_failure("token", address, "")
            raise AuthenticationFailed("the token is unknown, expired or revoked")
        self.tokens.uses.note(principal.token)
        return principal

    def _principal_of(self, token: Token) -> Principal | None:
        tenant = None
        if token.tenant:
            tenant = self.tenants.get(token.tenant) if self.tenants is not None else None
            if tenant is None or tenant.instance != token.tenant_instance:
                return None
        known = self._of_tokens.get(token.id)
        if known is not None and known[0] is token and known[1] is tenant:
            return known[2]
        made = token.principal(tenant)
        self._of_tokens[token.id] = (token, tenant, made)
        return made

    async def _by_password(self, given: Basic, address: str) -> Principal:
        name = given.username[: MAX_USERNAME + 1]  # longer ones do not exist
        self._attempts.check(name, address)
        account = self._account(given.username)
        for number, stored in account.passwords:
            if self._passwords.is_verified(stored, given.password):
                self._attempts.succeeded(name, address)
                return account.principal(number)
        # Clients open many connections at a time: those with the same credentials share one check.
        text = "\0".join((address, given.username, given.password))
        key = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)
        task = self._checks.get(key)
        if task is None:
            task = self._checks[key] = asyncio.create_task(self._check_password(given, name, address))
            task.add_done_callback(lambda done: self._end_check(key, done))
        return await asyncio.shield(task)

    def _account(self, username: str) -> _Account:
        """The account of this name; without passwords if there is none."""
        if (account := self._accounts.get(username)) is not None:
            return account
        tenant = self.tenants.by_username(username) if self.tenants is not None else None
        if tenant is None:
            return _NO_ACCOUNT
        return _Account(tuple(tenant.passwords(self._now())), tenant)

    def _end_check(self, key: bytes, task: asyncio.Task[Principal]) -> None:
        del self._checks[key]
        if not task.cancelled():
            task.exception()  # retrieved even if all who wait for it are cancelled

    async def _check_password(self, given: Basic, name: str, address: str) -> Principal:
        account = self._account(given.username)
        counted = self._attempts.begin(name, address)
        try:
            index = await self._passwords.verify(
                [stored for _, stored in account.passwords],
                given.password,
                runs=self.tenants.password_count if self.tenants is not None else 1,
                reserved=self._attempts.is_owner(name, address),
            )
        except BaseException:
            counted.take_back()
            raise
        principal = None if index is None else account.principal(account.passwords[index][0])
        if index is None or principal is None or not self.is_valid(principal):
            self._log_failure("password", address, given.username if account.passwords else "")
            raise AuthenticationFailed("the user name or the password is wrong")
        counted.take_back()
        self._attempts.succeeded(name, address)
        number, stored = account.passwords[index]
        if (
            self.tenants is not None
            and isinstance(account.of, Tenant)
            and self._passwords.needs_rehash(stored)
        ):
            # Not needed to go on: the next login tries again.
            with contextlib.suppress(BrokerError, NotFound, WrongState):
                await self.tenants.rehash(account.of, number, given.password)
        return principal

    def _log_failure(self, method: str, address: str, account: str) -> None:
        # The name of an unknown account may be a password in the wrong field.
        log.warning(
            "authentication from %s failed%s",
            address,
            f" for {account!r}" if account else "",
            extra={
                "event": "authentication_failed",
                "method": method,
                "address": address,
                "account": account,
            },
        )

    async def _write_records(self, *, now: bool = False) -> None:
        try:
            await self.tokens.uses.flush({token.id for token in self.tokens.all()}, now=now)
            await self._record.write(lambda name: bool(self._account(name).passwords), now=now)
        except BrokerError as error:
            log.warning(
                "uses of tokens and failed attempts could not be written: %s",
                error,
                extra={"event": "access_records_not_written", "error": str(error)},
            )


def _check(settings: AuthSettings) -> None:
    problems = []
    if settings.user is not None and settings.tenants is not None:
        problems.append("a single user and a tenant file exclude each other: set one of them")
    if settings.user and settings.admin and settings.user.username == settings.admin.username:
        problems.append("the user and the administrator must have different user names")
    if settings.admin_token is not None and len(settings.admin_token.token) < MIN_ADMIN_TOKEN:
        problems.append(
            f"the administrator's token needs at least {MIN_ADMIN_TOKEN} characters: generate one"
        )
    if problems:
        raise ConfigError(problems)
