"""Health of the gateway: the only routes without authentication."""

from __future__ import annotations

from litestar import MediaType, Response, get

from asynqio.errors import BrokerError
from asynqio.gateway.access import public
from asynqio.gateway.rest.dependencies import GatewayDependency


@get("/health", opt=public, media_type=MediaType.TEXT, sync_to_thread=False)
def health() -> str:
    """The gateway runs. asynq-server's route; load balancers should ask `/health/ready`."""
    return "OK"


@get("/health/live", opt=public, media_type=MediaType.TEXT, sync_to_thread=False)
def live() -> str:
    """The gateway runs."""
    return "OK"


@get("/health/ready", opt=public, media_type=MediaType.TEXT)
async def ready(gateway: GatewayDependency) -> Response[str]:
    """The gateway accepts requests, and its store answers: 200, else 503."""
    try:
        await gateway.store.ping()
    except BrokerError:
        return Response("the store does not answer", status_code=503)
    return Response("OK")


ROUTES = [health, live, ready]
