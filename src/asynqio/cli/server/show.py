"""What `asynqio group`, `server` and `stats` do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from asynqio import GroupStats, Inspector, QueueStats, ServerInfo, StoreNode, TaskState
from asynqio.cli.output import json as records
from asynqio.cli.output.format import count, moment, rate, relative, size, span, text_of
from asynqio.cli.output.results import Outcome, report
from asynqio.cli.output.terminal import facts, run, show, table, watching
from asynqio.cli.queue.actions import print_queues


def _looking(url: str | None, watch: float | None, look: Callable[[Inspector], Awaitable[None]]) -> None:
    """Look once, or again and again."""

    async def work() -> None:
        async with Inspector(url) as inspector:
            await watching(watch, lambda: look(inspector))

    run(work())


def list_groups(url: str | None, queue: str | None, *, as_json: bool, watch: float | None) -> None:
    async def look(inspector: Inspector) -> None:
        names = [queue] if queue is not None else [stats.queue for stats in await inspector.queues()]
        found = [(name, group) for name in names for group in await inspector.groups(name)]
        now = inspector.broker.clock.now()
        data = [
            {"queue": name, **{field: getattr(group, field) for field in GroupStats.__struct_fields__}}
            for name, group in found
        ]
        rows = [
            (name, group.group, group.size, relative(group.oldest_at, now), relative(group.newest_at, now))
            for name, group in found
        ]
        show(
            data,
            lambda: table(("queue", "group", "size", "oldest", "newest"), rows, right=("size",)),
            as_json=as_json,
        )

    _looking(url, watch, look)


# --- servers --------------------------------------------------------------------------------------


def list_servers(url: str | None, *, as_json: bool, watch: float | None) -> None:
    async def look(inspector: Inspector) -> None:
        found = sorted(await inspector.servers(), key=lambda card: (card.host, card.pid, card.id))
        now = inspector.broker.clock.now()
        rows = [
            (
                card.id,
                card.host,
                card.pid,
                card.status,
                f"{len(card.workers)}/{card.concurrency}",
                _weights(card),
                relative(card.started_at, now),
            )
            for card in found
        ]
        titles = ("id", "host", "pid", "state", "running", "queues", "started")
        show(
            [records.server(card) for card in found],
            lambda: table(titles, rows, right=("pid",)),
            as_json=as_json,
        )

    _looking(url, watch, look)


def _weights(card: ServerInfo) -> str:
    return " ".join(f"{name}:{weight}" for name, weight in card.queues.items())


def inspect_servers(url: str | None, names: Sequence[str], *, as_json: bool, watch: float | None) -> int:
    status = 0

    async def look(inspector: Inspector) -> None:
        nonlocal status
        cards = await inspector.servers()
        chosen = {name: [card for card in cards if _is(card, name)] for name in names}
        found = [card for some in chosen.values() for card in some]
        missing = [
            Outcome(name, False, "not_found", f"there is no server {name!r}")
            for name, some in chosen.items()
            if not some
        ]
        now = inspector.broker.clock.now()
        show([records.server(card) for card in found], lambda: _print_servers(found, now), as_json=as_json)
        status = report("server", missing, as_json=False)
        if found and missing:
            status = 6

    _looking(url, watch, look)
    return status


def _is(card: ServerInfo, name: str) -> bool:
    return bool(name) and (card.id.startswith(name) or f"{card.host}:{card.pid}" == name)


def _print_servers(found: Sequence[ServerInfo], now: float) -> None:
    for number, card in enumerate(found):
        if number:
            print()
        facts(
            [
                ("id", card.id),
                ("host", card.host),
                ("pid", card.pid),
                ("state", card.status),
                ("started", moment(card.started_at, now)),
                ("queues", _weights(card)),
                ("priorities", "strict" if card.strict_priority else "weighted"),
                ("running", f"{len(card.workers)} of {card.concurrency}"),
                ("processed", card.processed),
                ("failed", card.failed),
                ("refused", card.refused),
            ]
        )
        if card.workers:
            print()
            rows = [
                (
                    worker.id,
                    worker.queue,
                    worker.type,
                    relative(worker.started_at, now),
                    relative(worker.deadline, now),
                    "stuck" if worker.stuck else "",
                    text_of(worker.payload),
                )
                for worker in card.workers
            ]
            table(("task", "queue", "type", "started", "deadline", "", "payload"), rows)


# --- stats ----------------------------------------------------------------------------------------


def show_stats(url: str | None, *, as_json: bool, watch: float | None) -> None:
    async def look(inspector: Inspector) -> None:
        found = await inspector.queues()
        cards = await inspector.servers()
        names = (
            "size",
            *(state.value for state in TaskState),
            "processed",
            "failed",
            "processed_total",
            "failed_total",
        )
        aggregate: dict[str, float] = {name: sum(getattr(stats, name) for stats in found) for name in names}
        aggregate["servers"] = len(cards)
        aggregate["running"] = sum(len(card.workers) for card in cards)
        aggregate["concurrency"] = sum(card.concurrency for card in cards)
        aggregate["timestamp"] = inspector.broker.clock.now()
        nodes = await inspector.nodes()
        data = {
            "broker": inspector.broker.url,
            "nodes": nodes,
            "aggregate": aggregate,
            "queues": [records.queue(stats) for stats in found],
        }
        show(data, lambda: _print_stats(inspector.broker.url, nodes, aggregate, found), as_json=as_json)

    _looking(url, watch, look)


def _print_stats(
    url: str, nodes: Sequence[StoreNode], sums: dict[str, float], found: Sequence[QueueStats]
) -> None:
    whole = {name: int(value) for name, value in sums.items()}
    facts(
        [
            ("broker", url),
            *(("  node", _node(node)) for node in nodes),
            ("tasks", f"{whole['size']:,} in {count(len(found), 'queue')}"),
            *((f"  {state.value}", f"{whole[state.value]:,}") for state in TaskState),
            ("today (UTC)", f"{whole['processed']:,} processed, {whole['failed']:,} failed"),
            ("error rate", rate(whole["failed"], whole["processed"])),
            ("servers", f"{whole['servers']:,}, running {whole['running']:,} of {whole['concurrency']:,}"),
        ]
    )
    if found:
        print()
        print_queues(found)


def _node(node: StoreNode) -> str:
    said = [node.name, node.version]
    said += [f"up {span(node.uptime)}"] if node.uptime else []
    said += [count(node.connections, "connection")] if node.connections else []
    said += [f"{size(node.used)} used, {size(node.peak)} at most"] if node.used else []
    return ", ".join(part for part in said if part)
