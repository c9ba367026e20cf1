"""The display without a terminal: one line every two seconds."""

from __future__ import annotations

import asyncio

from asynqio import Inspector
from asynqio.cli.demo.display import queue_stats
from asynqio.cli.demo.ledger import Ledger, percentile

#: Seconds between two lines.
INTERVAL = 2.0


class LineDisplay:
    """Prints until it is cancelled."""

    async def run(self, ledger: Ledger, inspector: Inspector) -> None:
        before = 0
        while True:
            await asyncio.sleep(INTERVAL)
            total, queues = ledger.total(), await queue_stats(inspector)
            print(
                f"{ledger.seconds:6.1f} s  enqueued {total.enqueued:<6} done {total.done:<6} "
                f"{(total.done - before) / INTERVAL:5.1f}/s  "
                f"pending {sum(q.pending for q in queues)} active {sum(q.active for q in queues)} "
                f"scheduled {sum(q.scheduled for q in queues)} retry {sum(q.retry for q in queues)} "
                f"archived {sum(q.archived for q in queues)}  "
                f"p50 {percentile(total.starts, 0.5) * 1e3:.1f} ms "
                f"p99 {percentile(total.starts, 0.99) * 1e3:.1f} ms",
                flush=True,
            )
            before = total.done
