"""The doctor of a Redis broker: checks the servers, their registry, and every queue."""

from __future__ import annotations

from asynqio.brokers.contract.results import Progress
from asynqio.brokers.redis.admin import stats
from asynqio.brokers.redis.connection.errors import RedisError
from asynqio.brokers.redis.doctor.inventory import scan_keys
from asynqio.brokers.redis.doctor.queue_checks import Examination, check_queue
from asynqio.brokers.redis.doctor.server_checks import check_servers
from asynqio.brokers.redis.layout.keys import SERVERS, decode_lossy, queue_keys
from asynqio.brokers.redis.session import Session
from asynqio.core.findings import Finding, Severity

#: Seconds before expiry at which a server's record is late: it should have been renewed at least once.
LATE = 4.0


async def examine(session: Session, *, fix: bool, progress: Progress | None) -> list[Finding]:
    """See Inspection.examine."""
    run = Examination(session, fix, progress)
    run.findings += await check_servers(session)
    run.findings += await _check_heartbeats(session)
    names = await stats.queues(session)
    keys = await scan_keys(session, names, run.advance)
    for name in names:
        try:
            await check_queue(run, queue_keys(name), keys.pop(name))
        except RedisError as error:
            run.findings.append(
                Finding(
                    Severity.ERROR,
                    "queue-damaged",
                    f"queue {name!r} cannot be examined: {error}",
                    "find the client that wrote the wrong key; then delete the key, or remove the queue",
                    name,
                )
            )
    return run.findings


async def _check_heartbeats(session: Session) -> list[Finding]:
    now = session.clock.now() + await session.server_clock.skew(SERVERS)
    late = await session.redis.command(SERVERS, "ZRANGEBYSCORE", SERVERS, f"({now}", now + LATE)
    return [
        Finding(
            Severity.WARNING,
            "server-late",
            f"server {decode_lossy(key).removeprefix(SERVERS + ':').strip('{}')} has missed its last heartbeat",
            "check whether it is running: other servers recover its tasks when their leases lapse",
        )
        for key in late
    ]
