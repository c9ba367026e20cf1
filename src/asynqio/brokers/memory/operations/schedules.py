"""Schedules in memory: which ticks were taken, and what came of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from asynqio.brokers.contract.inspection import Page
from asynqio.brokers.contract.limits import FIRES_AGE, FIRES_KEPT
from asynqio.brokers.contract.results import Admission, Fired, Replaced
from asynqio.brokers.contract.signals import Topic
from asynqio.brokers.memory.storage.store import MemoryStore
from asynqio.clock import Clock
from asynqio.core.info import SchedulerInfo
from asynqio.core.schedules.records import Fire, FireEvent, ScheduleState
from asynqio.core.task.task import Entry


class MemorySchedules(ABC):
    """The part of `MemoryBroker` that schedulers use."""

    clock: Clock
    _store: MemoryStore

    @abstractmethod
    def _admit(self, entry: Entry, now: float, topics: set[Topic]) -> Admission | Replaced: ...

    async def register_schedules(self, queue: str, ids: Sequence[str]) -> list[ScheduleState]:
        now = self.clock.now()
        with self._store.lock:
            known = self._store.queue(queue).schedules
            for id in ids:
                known[id] = known.get(id, ScheduleState(since=now))._replace(met_at=now)
            return [known[id] for id in ids]

    async def fire(self, fires: Sequence[Fire]) -> list[Fired]:
        now = self.clock.now()
        topics: set[Topic] = set()
        with self._store.lock:
            answers = [self._fire(one, now, topics) for one in fires]
        self._store.signals.publish(topics)
        return answers

    def _fire(self, one: Fire, now: float, topics: set[Topic]) -> Fired:
        known = self._store.queue(one.entry.message.queue).schedules
        standing = known.get(one.schedule_id, ScheduleState(since=now, met_at=now))
        if standing.paused:
            return Fired(None, paused=True)
        if standing.last is not None and standing.last >= one.tick:
            return Fired(None)
        known[one.schedule_id] = standing._replace(last=one.tick)
        return Fired(self._admit(one.entry, now, topics))

    async def record(self, events: Sequence[FireEvent]) -> None:
        with self._store.lock:
            for event in events:
                kept = self._store.fires.setdefault(event.schedule_id, deque(maxlen=FIRES_KEPT))
                kept.appendleft(event)

    async def prune_schedules(self, queue: str, ids: Sequence[str], before: float) -> int:
        with self._store.lock:
            known = self._store.queues[queue].schedules if queue in self._store.queues else {}
            gone = [id for id in ids if id in known and known[id].met_at <= before]
            for id in gone:
                del known[id]
            for id in [id for id, events in self._store.fires.items() if self._over(events)]:
                del self._store.fires[id]
        return len(gone)

    def _over(self, events: deque[FireEvent]) -> bool:
        return events[0].at <= self.clock.now() - FIRES_AGE

    # --- looking ----------------------------------------------------------------------------------

    async def schedulers(self) -> list[SchedulerInfo]:
        now = self.clock.now()
        with self._store.lock:
            for id in [id for id, (_, until) in self._store.schedulers.items() if until <= now]:
                del self._store.schedulers[id]
            return [card for card, _ in self._store.schedulers.values()]

    async def schedule_states(self, queue: str) -> dict[str, ScheduleState]:
        with self._store.lock:
            found = self._store.queues.get(queue)
            return dict(sorted(found.schedules.items())) if found is not None else {}

    async def pause_schedule(self, queue: str, id: str, paused: bool) -> bool:
        now = self.clock.now()
        with self._store.lock:
            if not paused and queue not in self._store.queues:
                return False
            known = self._store.queue(queue).schedules
            standing = known.get(id, ScheduleState(since=now, met_at=now))
            if standing.paused is paused:
                return False
            known[id] = standing._replace(paused=paused, since=standing.since if paused else now)
            return True

    async def fires(self, schedule_id: str, page: Page) -> list[FireEvent]:
        with self._store.lock:
            events = self._store.fires.get(schedule_id)
            if events is None or self._over(events):
                return []
            return list(events)[page.offset : page.offset + page.size]
