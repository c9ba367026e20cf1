"""Warns of groups that no server aggregates."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from asynqio.brokers.contract.broker import Store
from asynqio.core.explain.blockers import unaggregated
from asynqio.errors import QueueNotFound
from asynqio.runtime.service import Service

log = logging.getLogger("asynqio.server")

#: Seconds between two checks. A group is reported when it waited that long at least.
INTERVAL = 60.0
#: Queues with more groups are left to the doctor: reading them all every minute costs too much.
MOST_GROUPS = 1_000


class GroupCheck(Service):
    """Logs once per queue, until all its groups are aggregated again."""

    name = "group check"

    def __init__(self, broker: Store, queues: Sequence[str]) -> None:
        self._broker = broker
        self._queues = queues
        self._reported: set[str] = set()
        self._first = True

    async def once(self) -> float:
        if self._first:  # other servers may be starting too
            self._first = False
            return INTERVAL
        for queue in self._queues:
            groups = await self._unaggregated(queue)
            if not groups:
                self._reported.discard(queue)
            elif queue not in self._reported:
                self._reported.add(queue)
                log.warning(
                    "%d groups of queue %r wait, but no server on it has an aggregate function for them: %r …",
                    len(groups),
                    queue,
                    groups[0],
                    extra={
                        "event": "groups_not_aggregated",
                        "queue": queue,
                        "group": groups[0],
                        "count": len(groups),
                    },
                )
        return INTERVAL

    async def _unaggregated(self, queue: str) -> list[str]:
        try:
            [stats] = await self._broker.stats([queue])
            if not 0 < stats.groups <= MOST_GROUPS:
                return []
            groups = await self._broker.groups(queue)
        except QueueNotFound:
            return []
        before = self._broker.clock.now() - INTERVAL
        waiting = [group.group for group in groups if group.oldest_at <= before]
        return unaggregated(queue, waiting, await self._broker.servers()) if waiting else []
