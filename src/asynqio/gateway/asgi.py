"""The types of ASGI, and the codes with which WebSockets are closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

#: The client leaves: normally, because its page is left, or without a code.
_GOODBYES = frozenset({1000, 1001, 1005})
#: The client may no longer do what it does: its credentials were revoked.
POLICY_VIOLATION = 1008
#: The gateway restarts.
SERVICE_RESTART = 1012


def is_goodbye(message: Message) -> bool:
    """Whether a `websocket.disconnect` follows a closing handshake, by the client or by the gateway that restarts.

    A broken connection has the code 1005 too, but no reason, not even an empty one."""
    code = message.get("code", 1005)
    return code == SERVICE_RESTART or (code in _GOODBYES and message.get("reason") is not None)
