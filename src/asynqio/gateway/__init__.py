"""The gateway: tasks for any language, over WebSocket and HTTP. Needs `pip install 'asynqio[gateway]'`.

from asynqio.gateway import create_app

app = create_app("redis://localhost:6379/0")  # an ASGI application
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asynqio.gateway.app import create_app as create_app
    from asynqio.gateway.principals.credentials import Basic as Basic
    from asynqio.gateway.principals.credentials import Bearer as Bearer
    from asynqio.gateway.server import run_gateway as run_gateway
    from asynqio.gateway.settings import Address as Address
    from asynqio.gateway.settings import GatewaySettings as GatewaySettings
    from asynqio.gateway.settings import load_settings as load_settings

_HOMES = {
    "Address": "asynqio.gateway.settings",
    "Basic": "asynqio.gateway.principals.credentials",
    "Bearer": "asynqio.gateway.principals.credentials",
    "create_app": "asynqio.gateway.app",
    "run_gateway": "asynqio.gateway.server",
    "GatewaySettings": "asynqio.gateway.settings",
    "load_settings": "asynqio.gateway.settings",
}

__all__ = [
    "Address",
    "Basic",
    "Bearer",
    "GatewaySettings",
    "create_app",
    "load_settings",
    "run_gateway",
]


if not TYPE_CHECKING:  # a type checker that saw it would accept every misspelt name

    def __getattr__(name: str) -> Any:
        """Import a public name when it is used: parts of the gateway do not need its web framework."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)
