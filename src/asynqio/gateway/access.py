"""Authentication and permissions of the routes.

Every route declares in its `opt` which action it permits, or that it is public. A route that declares nothing is
refused: `test_routes.py` tries each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.gateway.principals.principal import Principal

#: The keys in the `opt` of a route.
_PUBLIC, _ACTION, _SIGNED_IN = "public", "action", "signed_in"

_AUDITED = frozenset(action for action in Action if not action.endswith(":read")) - {
    Action.ENQUEUE,
    Action.CLAIM,
}

public: Mapping[str, Any] = {_PUBLIC: True}
#: Any principal may use the route; what it asks for is checked where it is carried out.
signed_in: Mapping[str, Any] = {_SIGNED_IN: True}


def permits(action: Action) -> Mapping[str, Any]:
    """Principals that may perform this action, on some queue, may use the route."""
    return {_ACTION: action}


def is_public(opt: Mapping[str, Any]) -> bool:
    return bool(opt.get(_PUBLIC))


def is_preflight(scope: Mapping[str, Any]) -> bool:
    """Whether the request asks for the methods of a route only."""
    return bool(scope["type"] == "http" and scope["method"] == "OPTIONS")


def is_management(opt: Mapping[str, Any]) -> bool:
    """Whether the route manages the gateway: where no administrator is configured, a user of this machine may."""
    return opt.get(_ACTION) in MANAGEMENT


def audited_action(opt: Mapping[str, Any]) -> Action | None:
    """The action of a route whose use is recorded: all but reading, enqueueing and running tasks."""
    action = opt.get(_ACTION)
    return action if action in _AUDITED else None


async def check_permission(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The guard of all routes. A coroutine: the framework would run a function in the executor of the event loop.
    Raises AccessDenied."""
    opt = handler.opt
    if is_preflight(connection.scope):
        return
    if is_public(opt) or opt.get(_SIGNED_IN):
        return
    principal: Principal = connection.scope["user"]
    action = opt.get(_ACTION)
    if action is None:
        raise RuntimeError(f"route {handler} declares no permission")
    principal.access.require(action)
