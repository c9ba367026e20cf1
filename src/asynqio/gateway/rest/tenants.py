"""The tenants, as asynq-server's description has them. They are stored, and shared by all gateways of the store."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.params import PathParameter, RawBody

from asynqio.core.access.actions import Action
from asynqio.errors import ConfigError, NotFound
from asynqio.gateway.access import permits
from asynqio.gateway.audit import add_details
from asynqio.gateway.errors import InvalidRequest
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.tenants import Tenants
from asynqio.gateway.rest.body import decode_body
from asynqio.gateway.rest.dependencies import GatewayDependency

#: Longest time for which two passwords of a tenant are valid, in seconds: 90 days.
LONGEST_OVERLAP = 90 * 86_400.0

Username = Annotated[str, PathParameter(max_length=255, description="The user name of a tenant.")]


class TenantIds(msgspec.Struct):
    """The ids of all tenants."""

    tenants: list[str]
    count: int


class NewTenant(msgspec.Struct, forbid_unknown_fields=True):
    """A tenant to add. `queue_prefix`: default: its id."""

    id: str
    username: str
    password: str
    queue_prefix: str | None = None


class NewPassword(msgspec.Struct, forbid_unknown_fields=True):
    """The next password of a tenant. `overlap`: seconds for which the present one stays valid as well."""

    password: str
    overlap: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_OVERLAP)] = 0.0


class ChangedTenant(msgspec.Struct):
    """What was done to which tenant."""

    message: str
    tenant_id: str
    username: str


@get("/api/tenants", opt=permits(Action.MANAGE_TENANTS))
async def list_tenants(gateway: GatewayDependency) -> TenantIds:
    """List the ids of the tenants."""
    ids = [tenant.id for tenant in _tenants(gateway).all()]
    return TenantIds(ids, len(ids))


@post("/api/tenants", opt=permits(Action.MANAGE_TENANTS))
async def add_tenant(
    request: Request[Any, Any, Any], body: RawBody, gateway: GatewayDependency
) -> ChangedTenant:
    """Add a tenant. It is kept across restarts, and other gateways of the store know it within a second."""
    data = decode_body(request, body, NewTenant)
    add_details(request, id=data.id, username=data.username, queue_prefix=data.queue_prefix or data.id)
    tenants = _tenants(gateway)
    try:
        tenant = await tenants.add(data.id, data.username, data.password, data.queue_prefix)
    except ConfigError as error:
        raise InvalidRequest(error.problems) from None
    return ChangedTenant("Tenant added successfully", tenant.id, tenant.username)


@delete("/api/tenants/{username:str}", status_code=200, opt=permits(Action.MANAGE_TENANTS))
async def remove_tenant(username: Username, gateway: GatewayDependency) -> ChangedTenant:
    """Remove a tenant. Its open connections are closed within a second; its tasks stay in the store."""
    tenant = await _tenants(gateway).remove(username)
    return ChangedTenant("Tenant removed successfully", tenant.id, tenant.username)


@put("/api/tenants/{username:str}/password", opt=permits(Action.MANAGE_TENANTS))
async def set_password(
    request: Request[Any, Any, Any], username: Username, body: RawBody, gateway: GatewayDependency
) -> ChangedTenant:
    """Give a tenant another password. With an `overlap` its clients can change over one by one; without, its
    connections are closed within a second."""
    data = decode_body(request, body, NewPassword)
    add_details(request, overlap=data.overlap)
    try:
        tenant = await _tenants(gateway).set_password(username, data.password, overlap=data.overlap)
    except ConfigError as error:
        raise InvalidRequest(error.problems) from None
    return ChangedTenant("Password changed", tenant.id, tenant.username)


ROUTES: list[Any] = [list_tenants, add_tenant, remove_tenant, set_password]


def _tenants(gateway: Gateway) -> Tenants:
    tenants = gateway.authenticator.tenants
    if tenants is None:
        raise NotFound("this gateway has no tenants: start it with --tenant-config")
    return tenants
