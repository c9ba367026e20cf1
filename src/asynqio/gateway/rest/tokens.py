"""The API tokens. They are stored as hashes, and shared by all gateways of the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.params import PathParameter, RawBody

from asynqio.core.access.actions import Action
from asynqio.core.access.grants import Grant
from asynqio.core.access.roles import Role
from asynqio.errors import ConfigError
from asynqio.gateway.access import permits
from asynqio.gateway.audit import add_details
from asynqio.gateway.errors import InvalidRequest
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.tenant import Tenant
from asynqio.gateway.principals.tokens import Token
from asynqio.gateway.rest.body import decode_body
from asynqio.gateway.rest.dependencies import GatewayDependency, PrincipalDependency

#: Longest lifetime of a token in seconds: ten years.
LONGEST_LIFETIME = 10 * 366 * 86_400.0

TokenId = Annotated[str, PathParameter(max_length=64, description="The id of a token.")]


class TokenToCreate(msgspec.Struct, forbid_unknown_fields=True):
    """A token to create: with a role on the queues and task types that match these patterns, or further grants."""

    name: str
    role: Role | None = None
    queues: tuple[str, ...] = ("*",)
    types: tuple[str, ...] = ("*",)
    grants: list[Grant] = []
    #: The id of the tenant whose queues it may use, without prefix; none: all queues of the store.
    tenant: str | None = None
    #: Lifetime in seconds; none: until it is revoked.
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_LIFETIME)] | None = None


class GrantSummary(msgspec.Struct):
    """What a token permits, or denies."""

    actions: list[Action]
    queues: list[str]
    types: list[str]
    deny: bool


class TokenSummary(msgspec.Struct):
    """A token, without its text. Times are RFC 3339; `owner` is who created it."""

    id: str
    name: str
    role: str | None
    grants: list[GrantSummary]
    tenant: str | None
    owner: str
    created_at: str
    expires_at: str | None
    #: Up to a minute late.
    last_used_at: str | None


class TokenList(msgspec.Struct):
    """All tokens, oldest first, expired ones included."""

    tokens: list[TokenSummary]


class CreatedToken(msgspec.Struct):
    """A new token. `token` is its text, which is shown only here."""

    token: str
    details: TokenSummary


class RevokedToken(msgspec.Struct):
    """Which token was revoked."""

    message: str
    id: str
    name: str


@get("/api/v1/tokens", opt=permits(Action.MANAGE_TOKENS))
async def list_tokens(gateway: GatewayDependency) -> TokenList:
    """List the tokens."""
    tokens = gateway.authenticator.tokens
    await tokens.refresh()
    uses = await tokens.uses.read()
    return TokenList([_summary(token, uses.get(token.id)) for token in tokens.all()])


@post("/api/v1/tokens", opt=permits(Action.MANAGE_TOKENS))
async def create_token(
    request: Request[Any, Any, Any],
    body: RawBody,
    gateway: GatewayDependency,
    principal: PrincipalDependency,
) -> CreatedToken:
    """Create a token. Its text cannot be read again."""
    data = decode_body(request, body, TokenToCreate)
    add_details(request, name=data.name, role=data.role, tenant=data.tenant)
    tenant = None if data.tenant is None else await _tenant(gateway, data.tenant)
    try:
        made = await gateway.authenticator.tokens.create(
            data.name,
            owner=principal.name,
            role=data.role,
            queues=data.queues,
            types=data.types,
            grants=data.grants,
            tenant=tenant,
            lifetime=data.expires_in,
        )
    except ConfigError as error:
        raise InvalidRequest(error.problems) from None
    add_details(request, token=made.token.id)
    return CreatedToken(made.text, _summary(made.token, None))


@delete("/api/v1/tokens/{token_id:str}", status_code=200, opt=permits(Action.MANAGE_TOKENS))
async def revoke_token(
    request: Request[Any, Any, Any], token_id: TokenId, gateway: GatewayDependency
) -> RevokedToken:
    """Revoke a token. Other gateways of the store refuse it, and close its connections, within a second."""
    revoked = await gateway.authenticator.tokens.revoke(token_id)
    add_details(request, name=revoked.name, tenant=revoked.tenant or None)
    return RevokedToken("Token revoked", revoked.id, revoked.name)


ROUTES: list[Any] = [list_tokens, create_token, revoke_token]


async def _tenant(gateway: Gateway, id: str) -> Tenant:
    tenants = gateway.authenticator.tenants
    if tenants is not None:
        await tenants.refresh()
    tenant = tenants.get(id) if tenants is not None else None
    if tenant is None:
        raise InvalidRequest([f"tenant: there is no tenant with the id {id!r}"])
    return tenant


def _summary(token: Token, last_used: float | None) -> TokenSummary:
    return TokenSummary(
        id=token.id,
        name=token.name,
        role=token.role or None,
        grants=[
            GrantSummary(sorted(grant.actions), list(grant.queues), list(grant.types), grant.deny)
            for grant in token.grants
        ],
        tenant=token.tenant or None,
        owner=token.owner,
        created_at=_time(token.created),
        expires_at=None if token.expires is None else _time(token.expires),
        last_used_at=None if last_used is None else _time(last_used),
    )


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
