"""The audit log: who changed what through the gateway, when, and with what result."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from litestar import Request

from asynqio.brokers.contract.broker import Store
from asynqio.errors import BrokerError

log = logging.getLogger("asynqio.gateway")

#: The log of the store that holds the records, and how much of it is kept: records, and seconds.
AUDIT_LOG = "audit"
KEEP, AGE = 100_000, 400 * 86_400.0


class AuditRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One administrative act, or the attempt at one. Contains no secret, payload or result."""

    #: Epoch seconds.
    at: float
    #: What was to be done: an action, such as `tenant:manage`.
    action: str
    #: The request: `POST /api/tenants`.
    request: str
    #: The status of the answer: 2xx done, 401 and 403 refused.
    status: int
    request_id: str
    #: Who did it, and what kind of principal that is; empty if the request was not authenticated.
    actor: str = ""
    kind: str = ""
    tenant: str = ""
    #: The address that the request came from.
    address: str = ""
    #: What else there is to know, such as the number of tasks.
    details: dict[str, Any] = {}


def add_details(request: Request[Any, Any, Any], **details: object) -> None:
    """Say more about the act of a request in its record: never a secret. None is left out."""
    known = request.scope["state"].setdefault("audit", {})
    known.update((name, value) for name, value in details.items() if value is not None)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuditRecord).decode


async def write_audit(store: Store, record: AuditRecord) -> None:
    """Append a record. One that the store does not accept is in the log of the gateway."""
    fields = msgspec.to_builtins(record)
    try:
        await store.append_log(AUDIT_LOG, [_encode(record)], keep=KEEP, age=AGE)
    except BrokerError as error:
        log.error(
            "the audit record of request %s could not be stored: %s",
            record.request_id,
            error,
            extra={
                "event": "audit_not_stored",
                "request_id": record.request_id,
                "error": str(error),
                "record": fields,
            },
        )


async def read_audit(
    store: Store, *, before: int | None = None, limit: int = 100
) -> list[tuple[int, AuditRecord]]:
    """The numbers and records before a number, newest first."""
    entries = await store.read_log(AUDIT_LOG, before=before, limit=limit)
    return [(entry.number, _decode(entry.data)) for entry in entries]
