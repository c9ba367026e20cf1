"""What both displays of the demo have in common."""

from __future__ import annotations

from typing import Protocol

from asynqio import Inspector, QueueNotFound, QueueStats
from asynqio.cli.demo import tasks
from asynqio.cli.demo.ledger import Ledger


class Display(Protocol):
    """Shows the progress of the demo until it is cancelled."""

    async def run(self, ledger: Ledger, inspector: Inspector) -> None: ...


async def queue_stats(inspector: Inspector) -> list[QueueStats]:
    """The statistics of the demo's queues, highest weight first; zeros for those that do not exist yet."""
    stats = []
    for name in tasks.QUEUES:
        try:
            stats.append(await inspector.queue(name))
        except QueueNotFound:
            stats.append(QueueStats(name))
    return stats
