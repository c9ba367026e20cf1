"""The audit log."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import QueryParameter

from asynqio.core.access.actions import Action
from asynqio.gateway.access import permits
from asynqio.gateway.audit import AuditRecord, read_audit
from asynqio.gateway.rest.dependencies import GatewayDependency


class NumberedRecord(msgspec.Struct):
    """One record, with its number."""

    number: int
    record: AuditRecord


class AuditPage(msgspec.Struct):
    """Records, newest first. `next` is the `before` of the next page; null after the last one."""

    records: list[NumberedRecord]
    next: int | None


@get("/api/v1/audit", opt=permits(Action.READ_AUDIT))
async def list_audit(
    gateway: GatewayDependency,
    before: Annotated[
        int | None, QueryParameter(name="before", ge=1, description="Only lower numbers.")
    ] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=1000, description="Most records.")] = 100,
) -> AuditPage:
    """List administrative acts, newest first."""
    found = await read_audit(gateway.store, before=before, limit=limit)
    records = [NumberedRecord(number, record) for number, record in found]
    return AuditPage(records, records[-1].number if len(records) == limit else None)


ROUTES: list[Any] = [list_audit]
