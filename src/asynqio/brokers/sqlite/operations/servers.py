"""Running servers and schedulers: registered with an expiry that heartbeats extend."""

from __future__ import annotations

from typing import Any

import msgspec

from asynqio.brokers.sqlite.storage.rows import encode
from asynqio.brokers.sqlite.storage.statements import SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.info import SchedulerInfo, ServerInfo

_decode_server = msgspec.msgpack.Decoder(ServerInfo).decode
_decode_scheduler = msgspec.msgpack.Decoder(SchedulerInfo).decode


def beat(transaction: Transaction, info: ServerInfo | SchedulerInfo, ttl: float) -> None:
    """See Broker.beat."""
    statement = SQL.beat if isinstance(info, ServerInfo) else SQL.beat_scheduler
    # The column `card` holds the info.
    transaction.run(statement, id=info.id, card=encode(info), until=transaction.now + ttl)


def leave(transaction: Transaction, info: ServerInfo | SchedulerInfo) -> None:
    """See Broker.leave."""
    transaction.run(SQL.leave if isinstance(info, ServerInfo) else SQL.leave_scheduler, id=info.id)


def servers(transaction: Transaction) -> list[ServerInfo]:
    """See Inspection.servers. Also deletes expired registrations."""
    transaction.run(SQL.purge_servers, now=transaction.now)
    return _readable(transaction.all(SQL.servers), _decode_server)


def schedulers(transaction: Transaction) -> list[SchedulerInfo]:
    """See Inspection.schedulers. Also deletes expired registrations."""
    transaction.run(SQL.purge_schedulers, now=transaction.now)
    return _readable(transaction.all(SQL.schedulers), _decode_scheduler)


def _readable(rows: list[Any], decode: Any) -> list[Any]:
    infos = []
    for (encoded,) in rows:
        try:
            infos.append(decode(encoded))
        except msgspec.MsgspecError:
            continue  # written by another version; it expires when its server stops
    return infos
