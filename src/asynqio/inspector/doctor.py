"""The doctor: what is wrong with a system of queues and servers, in words, and what of it can be put right.

What only one kind of store can have is found by its broker (`Inspection.examine`); here is what is the same for all.
"""

from __future__ import annotations

import msgspec

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Progress
from asynqio.core.findings import Finding, Severity, worst_first
from asynqio.core.info import QueueStats, ServerInfo
from asynqio.core.lifecycle import Failed, Policy, decide
from asynqio.errors import LeaseExpired

#: Seconds for which something that servers do by themselves may be overdue before it is a finding.
TIMEOUT = 60.0
#: Lapsed leases looked at.
LEASES = 1_000
#: The share of an archive's limit at which old tasks are about to go.
NEARLY_FULL = 0.9

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO


async def diagnose(broker: Store, *, fix: bool, progress: Progress | None = None) -> list[Finding]:
    """Everything that is found, the worst first. With `fix` what is fixable is put right and marked so."""
    found = await broker.examine(fix=fix, progress=progress)
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
                    f"tasks of type {type!r} of queue {stats.queue!r} are not run: the type is paused",
                    "resume it when its tasks may run again",
                    stats.queue,
                )
            )
        found += await _lapsed(broker, stats.queue, fix)
    for card in servers:
        found += _stuck(card)
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
                _I, "queue-paused", f"queue {queue!r} is paused", "resume it when its tasks may run", queue
            )
        )
    waiting = stats.pending + stats.scheduled + stats.retry + stats.aggregating
    if waiting and not any(queue in card.queues for card in servers):
        found.append(
            Finding(
                _W,
                "no-server",
                f"{waiting} tasks wait in queue {queue!r}, and no server works on it",
                f"start one: asynqio worker MODULE:APP --queues {queue}",
                queue,
            )
        )
    elif stats.overdue_since and now - stats.overdue_since > TIMEOUT:
        found.append(
            Finding(
                _E,
                "overdue",
                f"delayed tasks of queue {queue!r} are {now - stats.overdue_since:.0f} s overdue",
                "look into the logs of its servers: they do not forward",
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
                f"the archive of queue {queue!r} holds {stats.archived:,} of at most {limit:,} tasks; "
                f"{stats.evicted_total:,} were dropped so far",
                "run or delete archived tasks, or raise archive_limit= in the broker's URL",
                queue,
            )
        )
    if stats.quarantined_total:
        found.append(
            Finding(
                _I,
                "quarantined",
                f"{stats.quarantined_total:,} ids or messages of queue {queue!r} were no tasks and were put aside",
                "look at the archived tasks of type asynqio:corrupt; then find out who writes such",
                queue,
            )
        )
    return found


async def _lapsed(broker: Store, queue: str, fix: bool) -> list[Finding]:
    """Active tasks that no server recovers. Recovering is what any server would do: they are pending again."""
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
            f"{len(old)} tasks of queue {queue!r} were left by a server that is gone, and nobody recovers them",
            "start a server for the queue, or: --fix",
            queue,
            fixable=True,
            fixed=fix,
        )
    ]


def _stuck(card: ServerInfo) -> list[Finding]:
    stuck = [worker for worker in card.workers if worker.stuck]
    if not stuck:
        return []
    return [
        Finding(
            _W,
            "handlers-stuck",
            f"{len(stuck)} handlers of server {card.id} were told to stop and go on: {stuck[0].type!r} …",
            'give them a timeout that they heed, or run_in="process", which can be killed',
        )
    ]
