"""`asynqio metrics`: the figures of a broker's queues for Prometheus."""

from __future__ import annotations

import signal
import sys
import threading

from asynqio import Inspector
from asynqio.cli.worker.actions import log_to_stderr
from asynqio.metrics import Endpoint, QueueCollector, own_registry


def serve(broker: str | None, port: int, *, host: str, memory: bool, log_level: str) -> int:
    """Until INT or TERM; the exit status. Raises ConfigError. A broker that is away is no error: the metrics say
    so, until it is back."""
    collector = QueueCollector(Inspector(broker), memory=memory)
    log_to_stderr(log_level)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    registry = own_registry()
    registry.register(collector)
    endpoint = Endpoint(registry, port, host=host).open()
    try:
        print(f"asynqio: metrics of {collector.url} are at {endpoint.url}", file=sys.stderr, flush=True)
        done.wait()
    finally:
        endpoint.close()
        collector.close()
    return 0
