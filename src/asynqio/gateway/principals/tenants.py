"""The tenants of a gateway: those of its tenant file, and those in the store, which all gateways share."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.errors import ConfigError, NotFound, WrongState
from asynqio.gateway.principals.passwords import Passwords, password_problem
from asynqio.gateway.principals.principal import NO_LIMITS, Limits
from asynqio.gateway.principals.shared_documents import SharedDocuments
from asynqio.gateway.principals.tenant import Tenant, tenant_problems
from asynqio.gateway.principals.tenant_file import TenantEntry

#: Fields that no two tenants share.
_UNIQUE = ("id", "username", "queue_prefix")
_Change = Callable[[Tenant], Tenant]
#: The collection of the store that holds the tenants, by id.
COLLECTION = "tenants"

log = logging.getLogger("asynqio.gateway")


class Tenants:
    """Tenants by user name and by id. Open it with `Tenants.open`.

    Those of the tenant file are not changed here. A tenant of the store with the id, user name or queue prefix of one
    in the file is ignored.
    """

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        from_file: Iterable[Tenant] = (),
        reserved: Iterable[str] = (),
    ) -> None:
        self._clock = store.clock
        self._passwords = passwords
        self._file = tuple(from_file)
        self._reserved = frozenset(reserved)
        self._shared = SharedDocuments(store, COLLECTION, Tenant)
        self._edition = -1
        self._by_id: dict[str, Tenant] = {}
        self._by_username: dict[str, Tenant] = {}
        self._rotating: dict[str, float] = {}
        self._ignored: frozenset[str] = frozenset()

    @classmethod
    async def open(
        cls,
        store: Store,
        passwords: Passwords,
        entries: Iterable[TenantEntry] = (),
        reserved: Iterable[str] = (),
    ) -> Tenants:
        """Hash the plain passwords of a tenant file and read the tenants of the store.

        `reserved`: user names that no tenant may have. A plain password takes about 20 ms. Raises ConfigError.
        """
        entries, reserved = list(entries), frozenset(reserved)
        if taken := sorted({entry.username for entry in entries} & reserved):
            raise ConfigError(
                [f"tenant file: username {name!r} is that of the administrator" for name in taken]
            )
        hashes = await asyncio.gather(*(_hash(entry, passwords) for entry in entries))
        from_file = [
            Tenant(
                id=entry.id,
                username=entry.username,
                password_hash=stored,
                queue_prefix=entry.queue_prefix,
            )
            for entry, stored in zip(entries, hashes, strict=True)
        ]
        tenants = cls(store, passwords, from_file, reserved)
        await tenants.refresh()
        return tenants

    @property
    def age(self) -> float:
        """Seconds since the tenants were known to be current."""
        return self._shared.age

    async def refresh(self) -> None:
        """Follow the changes that other gateways made: one cheap call."""
        await self._shared.refresh()

    def take_changed(self) -> frozenset[str]:
        """The ids of tenants that were added, changed or removed since the last call, or whose old password has
        expired."""
        self._index()
        now = self._clock.now()
        expired = {id for id, until in self._rotating.items() if until <= now}
        for id in expired:
            del self._rotating[id]
        return self._shared.take_changed() | expired

    def all(self) -> list[Tenant]:
        """All tenants, by id."""
        return sorted(self._index().values(), key=lambda tenant: tenant.id)

    def get(self, id: str) -> Tenant | None:
        """The tenant with this id."""
        return self._index().get(id)

    def by_username(self, username: str) -> Tenant | None:
        """The tenant with this user name."""
        self._index()
        return self._by_username.get(username)

    @property
    def password_count(self) -> int:
        """Most valid passwords of one tenant: what a wrong password must cost for all to take the same time."""
        self._index()
        return 2 if self._rotating else 1

    async def add(
        self,
        id: str,
        username: str,
        password: str,
        queue_prefix: str | None = None,
        limits: Limits = NO_LIMITS,
    ) -> Tenant:
        """Store a new tenant. Raises ConfigError for invalid fields, WrongState if another tenant has its id, user
        name or queue prefix."""
        if problems := list(tenant_problems(id, username, password, queue_prefix)):
            raise ConfigError(problems)
        made = Tenant(
            id=id,
            username=username,
            password_hash=await self._passwords.hash(password),
            queue_prefix=queue_prefix or id,
            limits=limits,
            instance=secrets.token_hex(8),
            created=self._clock.now(),
        )

        def decide(stored: Mapping[str, Tenant]) -> tuple[str, Tenant]:
            if username in self._reserved:
                raise WrongState(f"the username {username!r} is reserved")
            for other in (*self._file, *stored.values()):
                for name in _UNIQUE:
                    if getattr(other, name) == getattr(made, name):
                        raise WrongState(f"a tenant with the {name} {getattr(made, name)!r} already exists")
            return id, made

        await self._shared.change(decide)
        return made

    async def remove(self, username: str) -> Tenant:
        """Remove a tenant from the store; its tasks stay. Raises NotFound; WrongState for one of the tenant file."""
        removed: list[Tenant] = []

        def decide(stored: Mapping[str, Tenant]) -> tuple[str, None]:
            removed[:] = [self._find(stored, username)]
            return removed[0].id, None

        await self._shared.change(decide)
        return removed[0]

    async def set_password(self, username: str, password: str, *, overlap: float = 0.0) -> Tenant:
        """Give a tenant another password. The current one stays valid for `overlap` seconds. Raises ConfigError,
        NotFound; WrongState for a tenant of the tenant file."""
        problems = [f"password {problem}"] if (problem := password_problem(password)) else []
        if not 0 <= overlap < float("inf"):
            problems.append("overlap must be a number of seconds of at least 0")
        if problems:
            raise ConfigError(problems)
        stored_hash = await self._passwords.hash(password)
        return await self._change(
            username,
            lambda tenant: msgspec.structs.replace(
                tenant,
                password_hash=stored_hash,
                password_number=tenant.password_number + 1,
                old_password_hash=tenant.password_hash if overlap else "",
                old_password_until=self._clock.now() + overlap if overlap else 0.0,
            ),
        )

    async def set_limits(self, username: str, limits: Limits) -> Tenant:
        """Change the limits of a tenant. Raises NotFound; WrongState for a tenant of the tenant file."""
        return await self._change(username, lambda tenant: msgspec.structs.replace(tenant, limits=limits))

    async def rehash(self, tenant: Tenant, password_number: int, password: str) -> None:
        """Store a stronger hash of the password with which a tenant has just authenticated, unless it has changed."""
        if not tenant.instance or password_number != tenant.password_number:
            return
        stored_hash = await self._passwords.hash(password)

        def strengthen(current: Tenant) -> Tenant:
            same = current.password_hash == tenant.password_hash
            return msgspec.structs.replace(current, password_hash=stored_hash) if same else current

        await self._change(tenant.username, strengthen)

    async def _change(self, username: str, change: _Change) -> Tenant:
        def decide(stored: Mapping[str, Tenant]) -> tuple[str, Tenant]:
            changed = change(self._find(stored, username))
            return changed.id, changed

        changed = await self._shared.change(decide)
        assert changed is not None
        return changed

    def _find(self, stored: Mapping[str, Tenant], username: str) -> Tenant:
        for tenant in self._file:
            if tenant.username == username:
                raise WrongState(f"tenant {tenant.id!r} is defined in the tenant file: change it there")
        for tenant in stored.values():
            if tenant.username == username:
                return tenant
        raise NotFound(f"there is no tenant with the username {username!r}")

    def _index(self) -> dict[str, Tenant]:
        if self._edition == self._shared.edition:
            return self._by_id
        self._edition = self._shared.edition
        kept = list(self._file)
        taken = {(name, getattr(tenant, name)) for tenant in kept for name in _UNIQUE}
        ignored = set()
        for name, tenant in sorted(self._shared.by_name.items()):
            own = {(field, getattr(tenant, field)) for field in _UNIQUE}
            if own & taken or tenant.username in self._reserved or tenant.id != name:
                ignored.add(name)
                continue
            taken |= own
            kept.append(tenant)
        for name in sorted(ignored - self._ignored):
            log.error(
                "tenant %r of the store is ignored: its id, username or queue prefix belongs to another tenant",
                name,
                extra={"event": "tenant_ignored", "tenant": name},
            )
        self._ignored = frozenset(ignored)
        self._by_id = {tenant.id: tenant for tenant in kept}
        self._by_username = {tenant.username: tenant for tenant in kept}
        now = self._clock.now()
        self._rotating = {
            tenant.id: tenant.old_password_until
            for tenant in kept
            if tenant.old_password_hash and tenant.old_password_until > now
        }
        return self._by_id


async def _hash(entry: TenantEntry, passwords: Passwords) -> str:
    return entry.password_hash or await passwords.hash(entry.password)
