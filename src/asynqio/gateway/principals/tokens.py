"""API tokens: shown once, stored as hashes, revoked at any time."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.core.access.actions import MANAGEMENT
from asynqio.core.access.grants import Access, Grant
from asynqio.core.access.roles import Role, grants_of
from asynqio.errors import ConfigError, NotFound
from asynqio.gateway.principals.hidden_fields import HiddenFields
from asynqio.gateway.principals.principal import Kind, Principal
from asynqio.gateway.principals.shared_documents import SharedDocuments
from asynqio.gateway.principals.tenant import Tenant
from asynqio.gateway.principals.token_text import RANDOM_BYTES, digest_of, is_token, make_text
from asynqio.gateway.principals.token_uses import TokenUses

#: The collection of the store that holds the tokens, by id.
COLLECTION = "tokens"
#: Most characters of the name of a token.
MAX_NAME = 128


class Token(HiddenFields, frozen=True, kw_only=True, omit_defaults=True):
    """An API token as it is stored: with its hash, never with its text. Times are epoch seconds."""

    SHOWN: ClassVar[tuple[str, ...]] = ("id", "name", "owner", "tenant")

    id: str
    name: str
    #: The name of the principal that created it.
    owner: str
    #: SHA-256 of the text, in hex.
    digest: str
    grants: tuple[Grant, ...]
    #: The role that the grants come from; empty: none.
    role: str = ""
    created: float
    #: None: never.
    expires: float | None = None
    #: The tenant to which the token belongs, and its `instance`; empty: none.
    tenant: str = ""
    tenant_instance: str = ""

    def principal(self, tenant: Tenant | None) -> Principal:
        """The one who uses the token. A token of a tenant never manages the gateway."""
        own = [Grant(MANAGEMENT, deny=True)] if self.tenant else []
        base = Principal(
            name=self.name,
            kind=Kind.TOKEN,
            access=Access([*self.grants, *own]),
            tenant=self.tenant,
            token=self.id,
            credential=self.digest[:16],
        )
        if tenant is None:
            return base
        of_tenant = tenant.principal(tenant.password_number)
        return msgspec.structs.replace(base, scope=of_tenant.scope, limits=of_tenant.limits)


class NewToken(HiddenFields, frozen=True):
    """A token and its text, which nobody can read again."""

    SHOWN: ClassVar[tuple[str, ...]] = ("token",)

    token: Token
    text: str


class Tokens:
    """The API tokens of a store, which all gateways share."""

    def __init__(self, store: Store) -> None:
        self.clock = store.clock
        self._shared = SharedDocuments(store, COLLECTION, Token)
        self._edition = -1
        self._by_digest: dict[str, Token] = {}
        self._expiring: dict[str, float] = {}
        #: When tokens were last used.
        self.uses = TokenUses(store)

    @property
    def age(self) -> float:
        """Seconds since the tokens were known to be current."""
        return self._shared.age

    async def refresh(self) -> None:
        """Follow the changes that other gateways made: one cheap call."""
        await self._shared.refresh()

    def take_changed(self) -> frozenset[str]:
        """The ids of tokens that were created, changed, revoked or have expired since the last call."""
        self._index()
        now = self.clock.now()
        expired = {id for id, expires in self._expiring.items() if expires <= now}
        for id in expired:
            del self._expiring[id]
        return self._shared.take_changed() | expired

    def all(self) -> list[Token]:
        """All tokens, oldest first, expired ones included."""
        return sorted(self._shared.by_name.values(), key=lambda token: (token.created, token.id))

    def get(self, id: str) -> Token | None:
        """The token with this id, if it has not expired."""
        found = self._shared.by_name.get(id)
        return found if found is not None and not self._has_expired(found) else None

    def find(self, text: str) -> Token | None:
        """The token with this text, if it has not expired."""
        if not is_token(text):
            return None
        digest = digest_of(text)
        found = self._index().get(digest)
        if found is None or not hmac.compare_digest(found.digest, digest) or self._has_expired(found):
            return None
        return found

    async def create(
        self,
        name: str,
        *,
        owner: str,
        role: Role | None = None,
        queues: Sequence[str] = ("*",),
        types: Sequence[str] = ("*",),
        grants: Sequence[Grant] = (),
        tenant: Tenant | None = None,
        lifetime: float | None = None,
    ) -> NewToken:
        """Create a token with the grants of a role on these queues and types, and further `grants`.

        Queues are named as the tenant names them. It expires after `lifetime` seconds. Raises ConfigError.
        """
        problems = []
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            problems.append(f"name must have 1 to {MAX_NAME} printable characters")
        if role is None and not grants:
            problems.append("role or grants must be given: without, a token permits nothing")
        if lifetime is not None and not 0 < lifetime < float("inf"):
            problems.append("lifetime must be a number of seconds above 0")
        of_role: tuple[Grant, ...] = ()
        try:
            of_role = grants_of(role, queues, types) if role is not None else ()
        except ValueError as error:
            problems.append(f"queues or types: {error}")
        if problems:
            raise ConfigError(problems)
        text, now = make_text(secrets.token_bytes(RANDOM_BYTES)), self.clock.now()
        made = Token(
            id=secrets.token_hex(8),
            name=name,
            owner=owner,
            digest=digest_of(text),
            grants=(*of_role, *grants),
            role=role or "",
            created=now,
            expires=None if lifetime is None else now + lifetime,
            tenant=tenant.id if tenant else "",
            tenant_instance=tenant.instance if tenant else "",
        )
        await self._shared.change(lambda stored: (made.id, made))
        return NewToken(made, text)

    async def revoke(self, id: str) -> Token:
        """Delete a token: this gateway refuses it at once, the others when they refresh. Raises NotFound."""
        revoked: list[Token] = []

        def decide(stored: Mapping[str, Token]) -> tuple[str, None]:
            if id not in stored:
                raise NotFound(f"there is no token {id!r}")
            revoked[:] = [stored[id]]
            return id, None

        await self._shared.change(decide)
        return revoked[0]

    def _has_expired(self, token: Token) -> bool:
        return token.expires is not None and token.expires <= self.clock.now()

    def _index(self) -> dict[str, Token]:
        if self._edition != self._shared.edition:
            self._edition = self._shared.edition
            tokens = self._shared.by_name.values()
            now = self.clock.now()
            self._by_digest = {token.digest: token for token in tokens}
            self._expiring = {
                token.id: token.expires
                for token in tokens
                if token.expires is not None and token.expires > now
            }
        return self._by_digest
