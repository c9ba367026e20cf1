"""Prints statistics of the whole system: `asynqio stats`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asynqio import Inspector, QueueStats, ServerInfo, StoreNode, TaskState
from asynqio.cli.event_loop import inspect
from asynqio.cli.output.format import byte_size, count, duration, error_rate
from asynqio.cli.output.json import queue_json, show
from asynqio.cli.output.table import print_fields
from asynqio.cli.queue.show import print_queues

_SUMMED = (
    *("size", *(state.value for state in TaskState)),
    *("processed", "failed", "processed_total", "failed_total"),
)


def show_stats(url: str | None, *, as_json: bool, watch: float | None) -> None:
    async def draw(inspector: Inspector) -> None:
        broker = inspector.broker
        queues, servers, nodes = (
            await inspector.queues(),
            await inspector.servers(),
            await inspector.nodes(),
        )
        aggregate = _aggregate(queues, servers)
        data = {
            "broker": broker.url,
            "nodes": nodes,
            "aggregate": {**aggregate, "timestamp": broker.clock.now()},
            "queues": [queue_json(stats) for stats in queues],
        }
        show(data, lambda: _print(broker.url, nodes, aggregate, queues), as_json=as_json)

    inspect(url, draw, watch=watch)


def _aggregate(queues: Sequence[QueueStats], servers: Sequence[ServerInfo]) -> dict[str, int]:
    sums = {name: sum(getattr(stats, name) for stats in queues) for name in _SUMMED}
    return {
        **sums,
        "servers": len(servers),
        "running": sum(len(server.workers) for server in servers),
        "concurrency": sum(server.concurrency for server in servers),
    }


def _print(
    url: str, nodes: Sequence[StoreNode], sums: Mapping[str, int], queues: Sequence[QueueStats]
) -> None:
    print_fields(
        [
            ("broker", url),
            *(("  node", _node(node)) for node in nodes),
            ("tasks", f"{sums['size']:,} in {count(len(queues), 'queue')}"),
            *((f"  {state.value}", f"{sums[state.value]:,}") for state in TaskState),
            ("today (UTC)", f"{sums['processed']:,} processed, {sums['failed']:,} failed"),
            ("error rate", error_rate(sums["failed"], sums["processed"])),
            ("servers", f"{sums['servers']:,}, running {sums['running']:,} of {sums['concurrency']:,}"),
        ]
    )
    if queues:
        print()
        print_queues(queues)


def _node(node: StoreNode) -> str:
    parts = [node.name, node.version]
    parts += [f"up {duration(node.uptime)}"] if node.uptime else []
    parts += [count(node.connections, "connection")] if node.connections else []
    parts += [f"{byte_size(node.used)} used, peak {byte_size(node.peak)}"] if node.used else []
    return ", ".join(part for part in parts if part)
