"""The Redis broker. It shares one Redis with Go asynq."""

from asynqio.brokers.redis.broker import RedisBroker, open_redis

__all__ = ["RedisBroker", "open_redis"]
