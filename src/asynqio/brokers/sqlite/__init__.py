"""The broker in one file: durable, without a service, for several processes on one machine."""

from asynqio.brokers.sqlite.broker import SqliteBroker, open_sqlite

__all__ = ["SqliteBroker", "open_sqlite"]
