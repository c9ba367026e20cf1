"""Prometheus metrics of worker servers (`ServerMetrics`) and queues (`QueueCollector`), served by `Endpoint`.

Needs `pip install "asynqio[metrics]"`. Without metrics, nothing of this package is imported.
"""

from asynqio.errors import ConfigError

try:
    import prometheus_client  # noqa: F401
except ModuleNotFoundError:
    raise ConfigError(["metrics need prometheus-client: pip install 'asynqio[metrics]'"]) from None

from asynqio.metrics.endpoint import Endpoint as Endpoint
from asynqio.metrics.queues import QueueCollector as QueueCollector
from asynqio.metrics.server_metrics import ServerMetrics as ServerMetrics
from asynqio.metrics.server_metrics import own_registry as own_registry

__all__ = ["Endpoint", "QueueCollector", "ServerMetrics", "own_registry"]
