"""The broker in this process."""

from asynqio.brokers.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
