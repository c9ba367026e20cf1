"""Prints worker servers: `asynqio server ls` and `inspect`."""

from __future__ import annotations

from collections.abc import Sequence

from asynqio import Inspector, ServerInfo
from asynqio.cli.event_loop import inspect
from asynqio.cli.exit_status import PARTIAL
from asynqio.cli.output.format import bytes_text, relative, timestamp
from asynqio.cli.output.json import server_json, show
from asynqio.cli.output.outcomes import Outcome, report_failures
from asynqio.cli.output.table import print_fields, print_table


def list_servers(url: str | None, *, as_json: bool, watch: float | None) -> None:
    async def draw(inspector: Inspector) -> None:
        found = sorted(await inspector.servers(), key=lambda server: (server.host, server.pid, server.id))
        now = inspector.broker.clock.now()
        rows = [
            (
                server.id,
                server.host,
                server.pid,
                server.status,
                f"{len(server.workers)}/{server.concurrency}",
                _weights(server),
                relative(server.started_at, now),
            )
            for server in found
        ]
        titles = ("id", "host", "pid", "status", "running", "queues", "started")
        show(
            [server_json(server) for server in found],
            lambda: print_table(titles, rows, right=("pid",)),
            as_json=as_json,
        )

    inspect(url, draw, watch=watch)


def _weights(server: ServerInfo) -> str:
    return " ".join(f"{name}:{weight}" for name, weight in server.queues.items())


def inspect_servers(url: str | None, names: Sequence[str], *, as_json: bool, watch: float | None) -> int:
    """Print the servers with these names. Returns the exit status."""
    status = 0

    async def draw(inspector: Inspector) -> None:
        nonlocal status
        servers = await inspector.servers()
        matches = {name: [server for server in servers if _matches(server, name)] for name in names}
        found = [server for matching in matches.values() for server in matching]
        missing = [
            Outcome(name, False, "not_found", f"there is no server {name!r}")
            for name, matching in matches.items()
            if not matching
        ]
        now = inspector.broker.clock.now()
        show([server_json(server) for server in found], lambda: _print(found, now), as_json=as_json)
        status = report_failures(missing)
        if found and missing:
            status = PARTIAL

    inspect(url, draw, watch=watch)
    return status


def _matches(server: ServerInfo, name: str) -> bool:
    return bool(name) and (server.id.startswith(name) or f"{server.host}:{server.pid}" == name)


def _print(found: Sequence[ServerInfo], now: float) -> None:
    for number, server in enumerate(found):
        if number:
            print()
        print_fields(
            [
                ("id", server.id),
                ("host", server.host),
                ("pid", server.pid),
                ("status", server.status),
                ("started", timestamp(server.started_at, now)),
                ("queues", _weights(server)),
                ("priorities", "strict" if server.strict_priority else "weighted"),
                ("running", f"{len(server.workers)} of {server.concurrency}"),
                ("processed", server.processed),
                ("failed", server.failed),
                ("refused", server.refused),
            ]
        )
        if server.workers:
            print()
            _print_running(server, now)


def _print_running(server: ServerInfo, now: float) -> None:
    rows = [
        (
            worker.id,
            worker.queue,
            worker.type,
            relative(worker.started_at, now),
            relative(worker.deadline, now),
            "stuck" if worker.stuck else "",
            bytes_text(worker.payload),
        )
        for worker in server.workers
    ]
    print_table(("task", "queue", "type", "started", "deadline", "", "payload"), rows)
