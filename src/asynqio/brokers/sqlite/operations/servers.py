"""Who is there: the cards of servers and schedulers, for as long as they are renewed."""

from __future__ import annotations

from typing import Any

import msgspec

from asynqio.brokers.sqlite.storage.rows import encode
from asynqio.brokers.sqlite.storage.statements import QUERIES as SQL
from asynqio.brokers.sqlite.storage.transaction import Transaction
from asynqio.core.info import SchedulerInfo, ServerInfo

_decode_server = msgspec.msgpack.Decoder(ServerInfo).decode
_decode_scheduler = msgspec.msgpack.Decoder(SchedulerInfo).decode


def beat(transaction: Transaction, card: ServerInfo | SchedulerInfo, ttl: float) -> None:
    statement = SQL.beat if isinstance(card, ServerInfo) else SQL.beat_scheduler
    transaction.run(statement, id=card.id, card=encode(card), until=transaction.now + ttl)


def leave(transaction: Transaction, card: ServerInfo | SchedulerInfo) -> None:
    transaction.run(SQL.leave if isinstance(card, ServerInfo) else SQL.leave_scheduler, id=card.id)


def servers(transaction: Transaction) -> list[ServerInfo]:
    transaction.run(SQL.purge_servers, now=transaction.now)
    return _readable(transaction.all(SQL.servers), _decode_server)


def schedulers(transaction: Transaction) -> list[SchedulerInfo]:
    transaction.run(SQL.purge_schedulers, now=transaction.now)
    return _readable(transaction.all(SQL.schedulers), _decode_scheduler)


def _readable(rows: list[Any], decode: Any) -> list[Any]:
    cards = []
    for (card,) in rows:
        try:
            cards.append(decode(card))
        except msgspec.MsgspecError:
            continue  # not readable for us; it goes when it is not renewed
    return cards
