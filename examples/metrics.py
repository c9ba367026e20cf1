"""Metrics: Prometheus metrics of a worker server and of its queues. (pip install "asynqio[metrics]")"""

import asyncio

from prometheus_client import CollectorRegistry, generate_latest

from asynqio import App, SkipRetry, TaskFailed
from asynqio.metrics import QueueCollector, ServerMetrics

app = App("memory://", retention=60)


@app.task("ship")
async def ship(order: int) -> None:
    if order == 13:
        raise SkipRetry("invalid order")


def show(registry: CollectorRegistry, *names: str) -> None:
    """Prints selected lines of a Prometheus scrape."""
    for line in generate_latest(registry).decode().splitlines():
        if line.startswith(names):
            print(line)


async def main() -> None:
    async with app:
        server = app.server()
        metrics = ServerMetrics(server)  # app.server(metrics_port=9100) also serves them
        async with server.running(app.mux):
            for order in (12, 13, 14):
                handle = await ship.enqueue(order)
                try:
                    await handle.result(timeout=5)
                except TaskFailed:
                    pass
        show(metrics.registry, "asynqio_attempts_ended_total")

        queues = QueueCollector(app.inspector)  # the metrics that `asynqio metrics` serves
        registry = CollectorRegistry()
        registry.register(queues)
        # In a thread, because a scrape waits for the broker
        await asyncio.to_thread(show, registry, "asynq_queue_size", "asynq_tasks_failed_total")
        await asyncio.to_thread(queues.close)


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# asynqio_attempts_ended_total{outcome="succeeded",queue="default",type="ship"} 2.0
# asynqio_attempts_ended_total{outcome="archived",queue="default",type="ship"} 1.0
# asynq_queue_size{queue="default"} 3.0
# asynq_tasks_failed_total{queue="default"} 1.0
