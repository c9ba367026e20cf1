"""Checks whether the clocks of this machine, of the workers' machines and of Redis agree."""

from __future__ import annotations

from asynqio.brokers.redis.admin.nodes import everywhere
from asynqio.brokers.redis.operations.servers import servers
from asynqio.brokers.redis.session import Session
from asynqio.core.findings import Finding, Severity

#: Seconds by which clocks may differ. Delayed tasks start early or late by this much; leases follow Redis.
SKEW_WARNING, SKEW_ERROR = 2.0, 15.0


async def check_clocks(session: Session) -> list[Finding]:
    """Findings about this machine, and about the machine of each server of asynqio."""
    before = session.clock.now()
    answers = await everywhere(session, "TIME")
    after = session.clock.now()
    skews = [int(seconds) + int(micros) / 1e6 - (before + after) / 2 for seconds, micros in answers]
    own = max(skews, key=abs, default=0.0)
    found = []
    if abs(own) - (after - before) / 2 >= SKEW_WARNING:
        found.append(_finding("this machine", own))
    found += [
        _finding(f"server {info.id} on {info.host}", info.clock_skew)
        for info in await servers(session)
        if abs(info.clock_skew) >= SKEW_WARNING
    ]
    return found


def _finding(whose: str, skew: float) -> Finding:
    return Finding(
        Severity.ERROR if abs(skew) >= SKEW_ERROR else Severity.WARNING,
        "clock-skew",
        f"the clocks of {whose} and of Redis differ by {abs(skew):.1f} s",
        "synchronize both (NTP): delayed tasks start too early or late, and Go servers lose leases",
    )
