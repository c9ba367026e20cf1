"""The middleware that finds out who sends a request, before anything else is done for it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from asynqio.core.access.actions import Action
from asynqio.errors import AsynqioError
from asynqio.gateway.access import audited_action, is_management, is_preflight, is_public
from asynqio.gateway.asgi import Message, Receive, Scope, Send
from asynqio.gateway.audit import AuditRecord, write_audit
from asynqio.gateway.errors import CrossOrigin, WrongHost
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.principal import Principal
from asynqio.gateway.problems import problem_of
from asynqio.gateway.responses import refuse


class Authentication:
    """Sets `scope["user"]` to the Principal, or refuses the request. Records administrative acts."""

    def __init__(self, app: Any, gateway: Gateway, hosts: Collection[str] | None) -> None:
        """`hosts`: the names that requests may give in their Host header; None: any."""
        self._app = app
        self._gateway = gateway
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["request_id"] = request_id = uuid.uuid4().hex
        if scope["type"] == "http":
            send = _with_headers(send, request_id.encode())
        if self._hosts is not None and host_name(scope) not in self._hosts:
            await refuse(scope, receive, send, problem_of(WrongHost(), request_id), request_id)
            return
        if is_cross_origin(scope):
            await refuse(scope, receive, send, problem_of(CrossOrigin(), request_id), request_id)
            return
        opt = scope["route_handler"].opt
        action = audited_action(opt)
        if action is None or scope["type"] != "http" or scope["method"] == "GET":
            await self._run(opt, scope, receive, send)
        else:
            await self._run_audited(action, opt, scope, receive, send)

    async def _run(self, opt: Mapping[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        if not (is_public(opt) or is_preflight(scope)):
            try:
                scope["user"] = await self._gateway.authenticator.authenticate(
                    scope["headers"], client_address(scope), manage=is_management(opt)
                )
            except AsynqioError as error:
                request_id = scope["state"]["request_id"]
                await refuse(scope, receive, send, problem_of(error, request_id), request_id)
                return
        await self._app(scope, receive, send)

    async def _run_audited(
        self, action: Action, opt: Mapping[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Record the act before its answer is sent, so that no act is known to anyone but the audit log."""
        at = self._gateway.clock.now()

        async def record_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await write_audit(self._gateway.store, self._record(action, scope, message["status"], at))
            await send(message)

        await self._run(opt, scope, receive, record_and_send)

    def _record(self, action: Action, scope: Scope, status: int, at: float) -> AuditRecord:
        principal: Principal | None = scope.get("user")
        return AuditRecord(
            at=at,
            action=action,
            request=f"{scope['method']} {scope['path']}",
            status=status,
            request_id=scope["state"]["request_id"],
            actor=principal.name if principal is not None else "",
            kind=principal.kind if principal is not None else "",
            tenant=principal.tenant if principal is not None else "",
            address=client_address(scope),
            details=scope["state"].get("audit", {}),
        )


#: Headers of every response: browsers must neither guess its type, nor keep it, nor show it in a frame.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def _with_headers(send: Send, request_id: bytes) -> Send:
    """Add the id of the request, and the headers of every response, unless it has them."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            known = {name.lower() for name, _ in headers}
            more = ((b"x-request-id", request_id), *_HEADERS)
            message["headers"] = [*headers, *(pair for pair in more if pair[0] not in known)]
        await send(message)

    return send_with_headers


def host_name(scope: Scope) -> str:
    """The name in the Host header, without port and brackets; empty unless there is exactly one."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(values) != 1:
        return ""
    text: str = values[0].strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def is_cross_origin(scope: Scope) -> bool:
    """Whether a web page of another origin sends a request that may change something, or opens a WebSocket.

    Browsers allow both without asking, and may add credentials that they remember. Other programs send neither
    header.
    """
    if scope["type"] == "http" and scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return False
    headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"]}
    if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get(b"origin")
    return origin is not None and origin.partition("://")[2] != headers.get(b"host")


def client_address(scope: Scope) -> str:
    """The address that a request comes from; empty for a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""
