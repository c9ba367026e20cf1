"""The gateway as an ASGI application: one router, one authentication, one table of errors."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, Request, Response, asgi
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.types import Receive, Scope, Send

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.gateway.access import check_permission, signed_in
from asynqio.gateway.authentication import Authentication
from asynqio.gateway.gateway import Gateway
from asynqio.gateway.principals.principal import Principal
from asynqio.gateway.problems import Kind, Problem, problem_of
from asynqio.gateway.responses import MEDIA_TYPE, problem_document, problem_headers
from asynqio.gateway.rest import audit, health, jobs, queues, tenants, tokens
from asynqio.gateway.settings import DEFAULT_BROKER, GatewaySettings
from asynqio.gateway.websocket import serve_websocket


def create_app(broker: str | Store | None = None, settings: GatewaySettings | None = None) -> Litestar:
    """A gateway before a broker: the URL of one (default: `memory://`), or a broker.

    Serve it with an ASGI server, or mount it into another application. Its lifespan opens the broker and runs the
    periodic duties; an application that mounts it must pass the lifespan on. Raises ConfigError.
    """
    settings = settings or GatewaySettings()
    settings.check()
    store = open_broker(broker or DEFAULT_BROKER) if broker is None or isinstance(broker, str) else broker
    gateway = Gateway(
        store, settings.authentication(), lease=settings.lease, max_payload=settings.max_payload
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(store)
            await stack.enter_async_context(gateway)
            yield

    def store_of_request(request: Request[Any, Any, Any]) -> Store:
        return gateway.store_of(request.user)

    # asynq-server's clients dial /ws; those that get a URL with a host alone dial /.
    @asgi(["/ws", "/"], opt=signed_in, copy_scope=False)
    async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
        """The asynq-server protocol, and that of the `ws://` broker."""
        if scope["type"] != ScopeType.WEBSOCKET:
            raise HTTPException("this route takes WebSocket upgrades only", status_code=426)
        await serve_websocket(gateway, scope["user"], scope, receive, send)  # type: ignore[arg-type]

    return Litestar(
        [
            websocket,
            *health.ROUTES,
            *queues.ROUTES,
            *tenants.ROUTES,
            *tokens.ROUTES,
            *audit.ROUTES,
            *jobs.ROUTES,
        ],
        middleware=[DefineMiddleware(Authentication, gateway=gateway, hosts=settings.allowed_hosts)],  # type: ignore[arg-type]
        guards=[check_permission],
        exception_handlers={Exception: answer_error},
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "store": Provide(store_of_request, sync_to_thread=False),
            "principal": Provide(principal_of_request, sync_to_thread=False),
        },
        lifespan=[lifespan],
        openapi_config=None,
        request_max_body_size=settings.max_message,
        logging_config=None,
        debug=False,
    )


def principal_of_request(request: Request[Any, Any, Any]) -> Principal:
    """Who sends the request."""
    return request.user  # type: ignore[no-any-return]


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The response to a request that raised."""
    # A path without a route does not pass the middleware.
    request_id = request.scope["state"].get("request_id") or uuid.uuid4().hex
    if isinstance(error, HTTPException) and error.status_code < 500:
        kind = Kind(error.status_code, "http", error.detail)
        problem = Problem(kind, error.detail)
    else:
        problem = problem_of(error, request_id)
    return Response(
        problem_document(problem),
        status_code=problem.kind.status,
        headers=problem_headers(problem, request_id),
        media_type=MEDIA_TYPE,
    )
