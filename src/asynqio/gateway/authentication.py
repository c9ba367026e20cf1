"""The middleware that finds out who sends a request, before anything else is done for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from asynqio.core.access.actions import Action
from asynqio.errors import AsynqioError
from asynqio.gateway.access import audited_action, is_management, is_public
from asynqio.gateway.asgi import Message, Receive, Scope, Send
from asynqio.gateway.audit import AuditRecord, write_audit
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.principal import Principal
from asynqio.gateway.problems import problem_of
from asynqio.gateway.responses import refuse


class Authentication:
    """Sets `scope["user"]` to the Principal, or refuses the request. Records administrative acts."""

    def __init__(self, app: Any, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["request_id"] = request_id = uuid.uuid4().hex
        if scope["type"] == "http":
            send = _with_request_id(send, request_id.encode())
        opt = scope["route_handler"].opt
        action = audited_action(opt)
        if action is None or scope["type"] != "http" or scope["method"] == "GET":
            await self._run(opt, scope, receive, send)
        else:
            await self._run_audited(action, opt, scope, receive, send)

    async def _run(self, opt: Mapping[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        if not is_public(opt):
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


def _with_request_id(send: Send, request_id: bytes) -> Send:
    """Add the id of the request to its response, unless it has it."""

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if all(name.lower() != b"x-request-id" for name, _ in headers):
                message["headers"] = [*headers, (b"x-request-id", request_id)]
        await send(message)

    return send_with_id


def client_address(scope: Scope) -> str:
    """The address that a request comes from; empty for a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""
