"""The Redis broker: one Redis, shared with Go asynq."""

from asynqio.brokers.redis.broker import RedisBroker, open_redis

__all__ = ["RedisBroker", "open_redis"]
