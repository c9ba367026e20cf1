"""The summary at the end of the demo: accounts for every accepted task."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from asynqio import Inspector, TaskNotFound, TaskState
from asynqio.cli.demo.ledger import Ledger, percentile


class Summary(NamedTuple):
    """The last line of the demo."""

    line: str
    #: Lost tasks and internal errors; empty if all is well.
    problems: list[str]


async def summarize(ledger: Ledger, inspector: Inspector) -> Summary:
    """Look up every task that was accepted and has not completed. Call it after the server has stopped."""
    seconds = ledger.seconds
    found: Counter[TaskState | None] = Counter()
    problems = [f"unexpected: {text}" for text in dict.fromkeys(ledger.unexpected)]
    for id, entry in list(ledger.waiting.items()):
        try:
            info = await inspector.find(id, queue=entry.queue)
        except TaskNotFound:
            if id in ledger.doubtful:  # enqueueing was interrupted
                ledger.forget(id)
                continue
            found[None] += 1
            problems.append(f"lost: {entry.type} {id}")
        else:
            found[info.state] += 1
            if info.state in (TaskState.ACTIVE, TaskState.COMPLETED):
                problems.append(f"{entry.type} {id} is {info.state} although no worker runs it")
    total = ledger.total()
    archived, lost = found[TaskState.ARCHIVED], found[None]
    waiting = found.total() - archived - lost
    if total.enqueued != total.done + total.merged + archived + waiting + lost:
        problems.append("the counts do not add up")
    line = (
        f"demo: {seconds:.1f} s, enqueued {total.enqueued} = done {total.done} + merged {total.merged} "
        f"+ archived {archived} + waiting {waiting} + lost {lost}; {total.done / seconds:.1f} tasks/s, "
        f"retries {total.retries}, failures {total.failures}, duplicates refused {total.refused}, "
        f"start latency p50 {percentile(total.starts, 0.5) * 1e3:.1f} ms "
        f"p99 {percentile(total.starts, 0.99) * 1e3:.1f} ms"
    )
    return Summary(line, problems)
