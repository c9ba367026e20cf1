"""The broker in one file: durable, no service, several processes of one machine at once."""

from asynqio.brokers.sqlite.broker import SqliteBroker, open_sqlite

__all__ = ["SqliteBroker", "open_sqlite"]
