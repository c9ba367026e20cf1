"""Serves metrics of a broker to Prometheus: `asynqio metrics`."""

from __future__ import annotations

import signal
import sys
import threading

from asynqio import Inspector
from asynqio.metrics import Endpoint, QueueCollector, own_registry


def serve(broker: str | None, port: int, *, host: str, memory: bool) -> int:
    """Serve until INT or TERM. Returns the exit status. An unreachable broker is not an error: the metrics report it
    until it is back. Raises ConfigError."""
    collector = QueueCollector(Inspector(broker), memory=memory)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    registry = own_registry()
    registry.register(collector)
    endpoint = Endpoint(registry, port, host=host).open()
    try:
        print(f"asynqio: serving metrics of {collector.url} at {endpoint.url}", file=sys.stderr, flush=True)
        done.wait()
    finally:
        endpoint.close()
        collector.close()
    return 0
