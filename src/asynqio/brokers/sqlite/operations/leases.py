"""Leases: the fence that identifies one, and renewal."""

from __future__ import annotations

from collections.abc import Sequence

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
