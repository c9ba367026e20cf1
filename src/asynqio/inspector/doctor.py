"""The doctor: finds problems of queues and servers, and repairs some of them.

Brokers find the problems of their own kind of store (`Inspection.examine`); this module finds those common to all.
"""

from __future__ import annotations

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Progress
from asynqio.core.explain.blockers import unaggregated
from asynqio.core.explain.humanize import first_line
from asynqio.core.findings import Finding, Severity, worst_first
from asynqio.core.info import QueueStats, ServerInfo
from asynqio.core.lifecycle import Failed, Policy, decide
from asynqio.errors import AccessDenied, LeaseExpired

#: Seconds after which overdue work of servers is a finding.
TIMEOUT = 60.0
#: Most expired leases examined per queue.
LEASES = 1_000
#: Failed aggregations of a group in a row that are a finding.
FAILURES = 3
#: Share of the archive limit from which the archive counts as nearly full.
NEARLY_FULL = 0.9

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO


async def diagnose(broker: Store, *, fix: bool, progress: Progress | None = None) -> list[Finding]:
    """Return all findings, the worst first. With `fix`, repair what is fixable and mark it as fixed."""
    try:
        found = await broker.examine(fix=fix, progress=progress)
    except AccessDenied as error:
        found = [
            Finding(
                _I,
                "store-not-examined",
                f"the settings and the stored data of the store are not examined: {error}",
                "run the doctor with access to the whole store",
            )
        ]
    queues, servers = await broker.queues(), await broker.servers()
    paused = await broker.paused_types(queues)
    for stats in await broker.stats(queues):
        found += _waiting(stats, servers, broker.clock.now())
        found += _kept(stats, broker.archive_limit)
        for type in paused.get(stats.queue, {}):
            found.append(
                Finding(
                    _I,
                    "type-paused",
                    f"type {type!r} is paused in queue {stats.queue!r}: its tasks do not run",
                    "resume the type when its tasks may run",
                    stats.queue,
                )
            )
        found += await _lapsed(broker, stats.queue, fix)
        found += await _groups(broker, stats, servers)
    for server in servers:
        found += _stuck(server)
    if fix and any(one.code == "batches-left" for one in found):
        await broker.sweep(queues, 1)
        found = [_fixed(one) if one.code == "batches-left" else one for one in found]
    return worst_first(found)


def _fixed(finding: Finding) -> Finding:
    return msgspec.structs.replace(finding, fixed=True)


def _waiting(stats: QueueStats, servers: list[ServerInfo], now: float) -> list[Finding]:
    queue, found = stats.queue, []
    if stats.paused:
        found.append(
            Finding(
                _I,
                "queue-paused",
                f"queue {queue!r} is paused",
                "resume the queue when its tasks may run",
                queue,
            )
        )
    waiting = stats.pending + stats.scheduled + stats.retry + stats.aggregating
    if waiting and not any(queue in server.queues for server in servers):
        found.append(
            Finding(
                _W,
                "no-server",
                f"{waiting:,} tasks wait in queue {queue!r}, but no server serves it",
                f"start a server: asynqio worker MODULE:APP --queues {queue}",
                queue,
            )
        )
    elif stats.overdue_since and now - stats.overdue_since > TIMEOUT:
        found.append(
            Finding(
                _E,
                "overdue",
                f"delayed tasks of queue {queue!r} are {now - stats.overdue_since:.0f} s overdue",
                "check the logs of its servers: they do not forward due tasks",
                queue,
            )
        )
    return found


def _kept(stats: QueueStats, limit: int) -> list[Finding]:
    queue, found = stats.queue, []
    if stats.archived >= NEARLY_FULL * limit:
        found.append(
            Finding(
                _W,
                "archive-full",
                f"the archive of queue {queue!r} has {stats.archived:,} of at most {limit:,} tasks; "
                f"{stats.evicted_total:,} tasks were dropped so far",
                "run or delete archived tasks, or raise archive_limit= in the broker's URL",
                queue,
            )
        )
    if stats.quarantined_total:
        found.append(
            Finding(
                _I,
                "quarantined",
                f"{stats.quarantined_total:,} invalid ids or messages of queue {queue!r} were quarantined",
                "inspect the archived tasks of type asynqio:corrupt and find the program that writes them",
                queue,
            )
        )
    return found


async def _lapsed(broker: Store, queue: str, fix: bool) -> list[Finding]:
    """Find active tasks that no server recovers. With `fix`, recover them as a server would."""
    now = broker.clock.now()
    lapsed = (await broker.expired([queue], LEASES)).leases
    old = [lease for lease in lapsed if lease.expires_at < now - TIMEOUT]
    if not old:
        return []
    if fix:
        await broker.settle([decide(lease, Failed(LeaseExpired()), now, Policy()) for lease in old])
    return [
        Finding(
            _E,
            "not-recovered",
            f"{len(old):,} tasks of queue {queue!r} were lost with their server and no server recovers them",
            "start a server for the queue, or run the doctor with --fix",
            queue,
            fixable=True,
            fixed=fix,
        )
    ]


async def _groups(broker: Store, stats: QueueStats, servers: list[ServerInfo]) -> list[Finding]:
    """Find groups that no server aggregates, and groups whose aggregation fails."""
    queue = stats.queue
    if not stats.groups:
        return []
    found = []
    groups = await broker.groups(queue)
    if unserved := unaggregated(queue, [group.group for group in groups], servers):
        found.append(
            Finding(
                _W,
                "groups-not-aggregated",
                f"{len(unserved):,} groups of queue {queue!r} wait, but no server on it has an aggregate function "
                f"for them: {unserved[0]!r} …",
                "start a server whose app has an @app.aggregate function for these groups",
                queue,
            )
        )
    failing = [(group.failure.failures, group) for group in groups if group.failure is not None]
    if failing := [pair for pair in failing if pair[0] >= FAILURES]:
        _, worst = max(failing, key=lambda pair: pair[0])
        assert worst.failure is not None
        found.append(
            Finding(
                _W,
                "groups-failing",
                f"{len(failing):,} groups of queue {queue!r} could not be aggregated: {worst.group!r} failed "
                f"{worst.failure.failures} times in a row: {first_line(worst.failure.error)}",
                "correct the aggregate function, then flush the group",
                queue,
            )
        )
    return found


def _stuck(server: ServerInfo) -> list[Finding]:
    stuck = [worker for worker in server.workers if worker.stuck]
    if not stuck:
        return []
    return [
        Finding(
            _W,
            "handlers-stuck",
            f"{len(stuck):,} handlers of server {server.id} do not stop although asked to: {stuck[0].type!r} …",
            'make the handlers react to cancellation, or declare them with run_in="process", which can be killed',
        )
    ]
