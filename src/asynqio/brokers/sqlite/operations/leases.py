"""Leases: the fence that identifies one, renewal, and expired ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asynqio.brokers.contract.results import Expired
from asynqio.brokers.sqlite.storage.rows import Row, quarantine, readable
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.lifecycle import Lease


def fence(lease: Lease) -> dict[str, int | str]:
    """The values that select the row of a lease while it is held: row, dequeue, queue and id. Matches no row if the
    token is not one of this broker."""
    match lease.token:
        case (int(key), int(token)) if token:
            return {"key": key, "token": token, "queue": lease.message.queue, "id": lease.message.id}
    return {"key": 0, "token": 0, "queue": "", "id": ""}


def renew(transaction: Transaction, leases: Sequence[Lease], lease: float) -> list[float | None]:
    """The new expiry of each lease; None: it is no longer held."""
    expires_at = transaction.now + lease
    renewed: list[float | None] = []
    for held in leases:
        found = transaction.run(SQL.renew, **fence(held), expires_at=expires_at).rowcount
        renewed.append(expires_at if found else None)
    return renewed


def renew_owner(transaction: Transaction, owner: str, lease: float) -> int:
    """See Broker.renew_owner."""
    return transaction.run(SQL.renew_owner, owner=owner, expires_at=transaction.now + lease).rowcount


class ExpiredLeases(NamedTuple):
    """The answer to `expired`, and the rows that could not be decoded."""

    expired: Expired
    corrupt: list[Row]


def expired_leases(transaction: Transaction, queues: Sequence[str], limit: int) -> ExpiredLeases:
    """Find expired leases. Only reads: `quarantine_expired` archives the corrupt rows."""
    now = transaction.now
    rows: list[Row] = []
    next_at: list[float] = []
    for queue in queues:
        rows += transaction.all(SQL.expired_leases, queue=queue, now=now, limit=max(0, limit))
        following = transaction.value(SQL.next_lease_expiry, queue=queue, now=now)
        if following is not None:
            next_at.append(following)
    rows.sort(key=lambda row: row[6])
    leases: list[Lease] = []
    corrupt: list[Row] = []
    for row in rows[:limit]:
        message = readable(row)
        if message is None:
            corrupt.append(row)
        else:
            leases.append(Lease(message, row[6], (row[0], row[5])))
    return ExpiredLeases(Expired(leases, min(next_at, default=None)), corrupt)


def quarantine_expired(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Quarantine corrupt tasks whose lease has expired, if it is still the same lease."""
    for row in rows:
        if transaction.one(SQL.is_leased, key=row[0], token=row[5]):
            quarantine(transaction, row)
