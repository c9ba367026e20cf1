"""Examine a database: its file, its tables, its counters."""

from __future__ import annotations

from asynqio.blocking import run_blocking
from asynqio.brokers.sqlite.doctor import file, tables
from asynqio.brokers.sqlite.session import Session
from asynqio.core.findings import Finding


async def examine(session: Session, *, fix: bool) -> list[Finding]:
    """See Inspection.examine."""
    found = await run_blocking(file.examine_file, session.settings)
    found += await session.read(tables.examine_tables)
    wrong = await session.read(tables.miscounted_queues)
    if wrong and fix:
        await session.write(tables.recount)
    return found + [tables.wrong_counters(queue, fixed=fix) for queue in wrong]
