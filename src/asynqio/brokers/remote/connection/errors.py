"""Errors of the connection to a gateway."""

from __future__ import annotations

from asynqio.errors import AuthenticationFailed, BrokerError, BrokerRefused, BrokerUnavailable


def not_open(where: str) -> BrokerUnavailable:
    """The broker was called before it was entered, or after it was left."""
    return BrokerUnavailable(
        f"the gateway at {where} is not open: use the broker in `async with broker: ...`"
    )


def unreachable(where: str, why: str, patience: float) -> BrokerUnavailable:
    """The connection was not established while a call waited for it."""
    return BrokerUnavailable(
        f"the gateway at {where} cannot be reached for {patience:g} s ({why}): check that it is running and that the "
        "URL is correct; this call was not sent"
    )


def lost(where: str, why: str) -> BrokerUnavailable:
    """The connection broke between call and answer, and the gateway does not know the call any more."""
    return BrokerUnavailable(
        f"lost the connection to the gateway at {where} ({why}) before the answer: the call may or may not have run"
    )


def overdue(where: str, operation: str, seconds: float) -> BrokerUnavailable:
    """The gateway is there, but did not answer a call."""
    return BrokerUnavailable(
        f"the gateway at {where} did not answer {operation} within {seconds:g} s: the call may or may not have run"
    )


#: Status of the response to the handshake → advice. Other responses of the classes 4xx and 3xx are refusals too.
_REFUSALS = {
    401: "the user, password or token is wrong or missing: correct it in the URL (wss://user:password@host)",
    403: "the user may not connect: check its rights and the tenant",
    404: "nothing is served at this path: check the path of the URL",
}


def rejected(where: str, status: int) -> BrokerError:
    """The server answered the handshake with an HTTP status."""
    if status in (408, 425, 429) or status >= 500:
        return BrokerUnavailable(
            f"the gateway at {where} answered with status {status}: it is busy or starts"
        )
    advice = _REFUSALS.get(status, "this is no asynqio gateway: check the URL")
    kind = AuthenticationFailed if status == 401 else BrokerRefused
    return kind(f"the gateway at {where} refused the connection with status {status}: {advice}")


def no_gateway(where: str) -> BrokerRefused:
    """The server speaks WebSocket, but not this protocol."""
    return BrokerRefused(
        f"the server at {where} does not speak the protocol of asynqio gateways: ws:// and wss:// need an asynqio "
        "gateway there (asynq-server is none)"
    )
