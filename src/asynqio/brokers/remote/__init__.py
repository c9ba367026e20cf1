"""The broker of `ws://` and `wss://`: any store, through a gateway."""

from asynqio.brokers.remote.broker import open_remote as open_remote
