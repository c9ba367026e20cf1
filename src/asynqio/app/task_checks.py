"""Whether a worker can run the tasks of an app: plain facts, for warnings at its start."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from asynqio.core.findings import Finding, Severity
from asynqio.core.schedules.entry import ScheduleEntry
from asynqio.core.task.options import TaskOptions, merge


def task_findings(
    *,
    handlers: Collection[str],
    options: Mapping[str, TaskOptions],
    schedules: Iterable[ScheduleEntry],
    defaults: TaskOptions,
    queues: Collection[str],
) -> list[Finding]:
    """What keeps a server that serves `queues` from running the tasks of an app.

    `handlers` are the patterns of its mux, `options` those of each declared task type, `defaults` the app's.
    Codes: `no-handlers` (nothing is declared) and `queue-not-served` (one for each such queue).
    """
    if not handlers:
        return [
            Finding(
                Severity.WARNING,
                "no-handlers",
                "the app has no task handler",
                "import the modules that declare its tasks: app.include('shop.*') or --include 'shop.*'",
            )
        ]
    types: dict[str, set[str]] = {}
    for type, given in options.items():
        types.setdefault(_queue(defaults, given), set()).add(type)
    for entry in schedules:
        types.setdefault(_queue(defaults, entry.options), set()).add(entry.task.type)
    return [_not_served(queue, sorted(types[queue])) for queue in sorted(types) if queue not in queues]


def _queue(defaults: TaskOptions, options: TaskOptions) -> str:
    return merge(defaults, options).get("queue", "default")


def _not_served(queue: str, types: Sequence[str]) -> Finding:
    shown = ", ".join(repr(type) for type in types[:5]) + (f" and {len(types) - 5} more" if types[5:] else "")
    return Finding(
        Severity.WARNING,
        "queue-not-served",
        f"tasks of this app go to queue {queue!r}, which this server does not serve: {shown}",
        f"add it to the queues of this server, or start another one with --queues {queue}",
        queue,
    )
